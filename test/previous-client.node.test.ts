// The client of the release before against today's service: boxes keep the file that they once fetched.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";
import { clientVersion } from "../scripts/wheel.ts";
import { runProcess, type Stack, startStack, trainer, trainerFolder } from "./stack.ts";

/** `npm run release` keeps the client that it releases here; until the first release it is a client of before it. */
const kept = brotliDecompressSync(
  readFileSync(join(root, "test/previous-client.py.br")),
).toString();
const written = /^__version__ = "([^"]+)"$/m;

let stack: Stack;
let file: string;
beforeAll(async () => {
  stack = await startStack();
  file = join(stack.home, "ledger.py");
  // Between two releases both have one version: then the number alone is made an older one.
  const isOlder = written.exec(kept)?.[1] !== clientVersion();
  writeFileSync(file, isOlder ? kept : kept.replace(written, '__version__ = "0.0.1"'));
});
afterAll(() => stack?.stop());

const env = (more: Record<string, string>) => ({
  PATH: process.env.PATH,
  HOME: stack.home,
  LORA_LEDGER_LANG: "en",
  LEDGER_URL: stack.url,
  LEDGER_KEY: stack.admin,
  LEDGER_SPOOL: join(stack.home, "spool"),
  ...more,
});
const ledger = (key: string, ...args: string[]) =>
  runProcess("python3", [file, ...args], { cwd: stack.home, env: env({ LEDGER_KEY: key }) }).ended;

it("it records a run whole, says that a newer one is there, and that the box may be destroyed", async () => {
  const key = await stack.key("renter", "member", ["box"]);
  const { config, output } = trainerFolder(stack.home, { max_train_epochs: 2 });
  const command = ["run", "--tag", "kind=style", "--", "python3", trainer, "--config_file", config];
  const { code, out } = await ledger(key, ...command);
  expect([code, out]).toEqual([0, expect.stringContaining("model saved.")]);
  const newer = new RegExp(
    `the ledger is ${clientVersion().replaceAll(".", "\\.")}: .*/client\\.py`,
  );
  expect(out.split("\n").filter((line) => newer.test(line))).toHaveLength(1);
  expect(
    out.split("\n").filter((line) => /warn|refused|not everything|Traceback/i.test(line)),
  ).toEqual([]);

  const id = Number(/as task (\d+)/.exec(out)?.[1]);
  const task = await stack.api(`/api/tasks/${id}`);
  expect(task).toMatchObject({
    status: "success",
    exit_code: 0,
    trainer: "kohya",
    lora_rank: 4,
    tags: { kind: "style" },
  });
  const { total } = await stack.api(`/api/tasks/${id}/logs?metric=loss&max_points=10000`);
  expect(total).toBe(60);
  const { items } = await stack.api(`/api/weights?task_id=${id}&limit=200`);
  const final = items.find((weight: { kind: string }) => weight.kind === "final");
  expect(final).toMatchObject({
    filename: "aki.safetensors",
    state: "complete",
    verified: "sha256",
  });
  const { datasets } = await stack.api(`/api/tasks/${id}/datasets`);
  expect(datasets).toEqual([expect.objectContaining({ name: "10_aki", image_count: 6 })]);

  const safe = await ledger(key, "safe", output);
  expect(safe.out).toMatch(/^SAFE: .*1 run and \d+ files/m);
  expect(safe.code).toBe(0);
  // A file that is nowhere but here: no.
  writeFileSync(
    join(output, "other.safetensors"),
    readFileSync(join(output, "aki.safetensors")).subarray(0, -4),
  );
  expect((await ledger(key, "safe", output)).code).toBe(1);
});

it("it reads what today's service answers: lists, curves, files", async () => {
  const [newest] = (await stack.api("/api/tasks?limit=1")).items;
  const lines = async (...args: string[]) => {
    const { code, out } = await ledger(stack.admin, ...args);
    expect([code, out]).toEqual([0, out]);
    return out
      .trim()
      .split("\n")
      .filter((line) => !line.startsWith("[ledger]"));
  };
  expect((await lines("ls", "lora_rank = 4"))[1]).toMatch(/ success /);
  expect(await lines("logs", String(newest.id))).toHaveLength(61);
  const folder = join(stack.home, "pulled");
  mkdirSync(folder);
  expect(
    (await lines("pull", String(newest.id), "--kind", "final", "-o", folder)).join("\n"),
  ).toContain("hash checked");
  expect((await lines("show", String(newest.id))).join("\n")).toContain("10_aki: 6 images");
});

it("shares a spool with today's client: each sends what the other kept, and both record at once", async () => {
  const today = join(root, "dist/client.py");
  const LEDGER_SPOOL = join(stack.home, "shared");
  const say = (client: string, args: string[], more: Record<string, string> = {}) =>
    runProcess("python3", [client, ...args], {
      cwd: stack.home,
      env: env({ LEDGER_SPOOL, ...more }),
    }).ended;
  const record = (client: string, name: string, more: Record<string, string> = {}) => {
    const { config } = trainerFolder(stack.home, { max_train_epochs: 1 });
    const command = ["--", "python3", trainer, "--config_file", config];
    return say(client, ["run", "--name", name, ...command], more);
  };
  const away = { LEDGER_URL: "", LEDGER_KEY: "" };
  for (const [keeper, sender, name] of [
    [file, today, "kept by the previous"],
    [today, file, "kept by today's"],
  ] as const) {
    const kept = await record(keeper, name, away);
    expect([kept.code, kept.out]).toEqual([0, expect.stringContaining("`lora-ledger sync`")]);
    // Both see that something waits, before and after.
    for (const client of [file, today])
      expect((await say(client, ["safe"])).code, `safe before ${name} was sent`).toBe(1);
    const sent = await say(sender, ["sync"]);
    expect([sent.code, sent.out]).toEqual([0, expect.stringContaining("sent as task")]);
  }
  const both = await Promise.all([record(file, "at once"), record(today, "at once")]);
  for (const { code, out } of both)
    expect([code, out]).toEqual([0, expect.stringMatching(/as task \d+/)]);

  const { items } = await stack.api("/api/tasks?limit=4");
  expect(items.map((task: { task_name: string }) => task.task_name)).toEqual([
    "at once",
    "at once",
    "kept by today's",
    "kept by the previous",
  ]);
  for (const { id } of items) {
    expect(await stack.api(`/api/tasks/${id}`)).toMatchObject({ status: "success", exit_code: 0 });
    expect((await stack.api(`/api/tasks/${id}/logs?metric=loss&max_points=9999`)).total).toBe(30);
  }
  for (const client of [file, today]) {
    const { code, out } = await say(client, ["safe"]);
    expect([code, out]).toEqual([0, expect.stringContaining("SAFE: 4 runs")]);
  }
});
