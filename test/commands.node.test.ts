// What a person does with the client besides recording: looking, fetching, repeating, comparing,
// importing, converting, and asking whether the box may go, each on the whole stack.
import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";
import { runScheduled } from "../scripts/local/worker.ts";
import { eventually, runProcess, type Stack, startStack, trainer, trainerFolder } from "./stack.ts";

let stack: Stack;
let first: { id: number; config: string; folder: string; output: string };

beforeAll(async () => {
  stack = await startStack();
  first = await record("first", ["--tag", "kind=style", "--group", "aki"]);
}, 180_000);
afterAll(() => stack.stop());

/** A box of its own: what one run leaves unsent or unsafe is no other test's. */
const box = () => ({ LEDGER_SPOOL: join(mkdtempSync(join(stack.home, "box-")), "spool") });

async function ledger(args: (string | number)[], options: Parameters<Stack["client"]>[1] = {}) {
  const words = args.map(String);
  return stack.client(words, { ...options, env: { ...box(), ...options.env } }).ended;
}

/** The lines of a command that has to succeed. */
async function lines(args: (string | number)[], options: Parameters<Stack["client"]>[1] = {}) {
  const { code, out } = await ledger(args, options);
  expect(out).not.toContain(stack.admin);
  expect(code, out).toBe(0);
  return out.trim().split("\n");
}

async function record(
  name: string,
  more: string[] = [],
  settings: Record<string, string | number> = {},
  env = box(),
  training: string[] = [],
) {
  const made = trainerFolder(stack.home, { max_train_epochs: 1, ...settings });
  const command = ["python3", trainer, "--config_file", made.config, ...training];
  const { code, out } = await ledger(["run", "--name", name, ...more, "--", ...command], { env });
  expect(code, out).toBe(0);
  expect(out).not.toMatch(/refused|set aside/);
  const id = Number(/recording as task (\d+)/.exec(out)?.[1]);
  return { ...made, id, out };
}

const old = (path: string) =>
  utimesSync(path, new Date(1_700_000_000_000), new Date(1_700_000_000_000));

describe("looking", () => {
  it("login stores address and key for this user alone, and every command uses them", async () => {
    const file = join(mkdtempSync(join(stack.home, "login-")), "sub", "login.json");
    const bare = { LEDGER_LOGIN: file, LEDGER_URL: "", LEDGER_KEY: "" };
    const refused = await ledger(["login", "--url", stack.url, "--key", "nonsense"], { env: bare });
    expect(refused.code).toBe(1);
    expect(refused.out).toMatch(/does not know this key .*nothing was stored/);
    expect(existsSync(file)).toBe(false);
    const [said] = await lines(["login", "--url", stack.url], {
      env: { ...bare, LEDGER_KEY: stack.admin },
    });
    expect(said).toContain(`logged in at ${stack.url} as admin (admin)`);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const status = await lines(["status"], { env: bare });
    expect(status[0]).toBe(`ledger: ${stack.url}`);
    expect(status[1]).toBe("user: admin (admin)");
    expect(status.at(-1)).toMatch(/^spool: nothing waits/);
    const unknown = await ledger(["ls"], { env: { ...bare, LEDGER_LOGIN: "/nowhere/login.json" } });
    expect(unknown).toMatchObject({ code: 1, out: expect.stringContaining("`lora-ledger login`") });
  });

  it("ls filters and orders in the ledger's language, show tells all of a run", async () => {
    const second = await record("second", [], { network_dim: 8 });
    const table = await lines([
      "ls",
      "lora_rank = 4 and tags.kind = 'style' and status = 'success'",
    ]);
    expect(table).toHaveLength(2);
    expect(table[1]).toMatch(new RegExp(`^${first.id} +first +success +4 +2 +0\\.002 +30/30`));
    const both = await lines(["ls", "--json", "--order-by", "lora_rank desc", "--limit", "2"]);
    expect(both.map((line) => JSON.parse(line).id)).toEqual([second.id, first.id]);
    const wrong = await ledger(["ls", "lora_rank ="]);
    expect(wrong.code).toBe(1);
    expect(wrong.out).toMatch(/filter is not right at character \d+/);
    const shown = (await lines(["show", first.id])).join("\n");
    for (const part of [
      `task ${first.id}: first`,
      "success, step 30 of 30",
      "kind=style",
      "10_aki: 6 images",
    ])
      expect(shown).toContain(part);
    expect(shown).toMatch(/aki\.safetensors \(final, .*complete/);
    const whole = JSON.parse((await lines(["show", first.id, "--json"])).join("\n"));
    expect(whole.task.config_snapshot.everything.network_dim).toBe(4);
    expect(await ledger(["show", 999_999])).toMatchObject({ code: 1 });
  });

  it("logs prints the curve, as CSV, and follows it to its end; cancel ends a run", async () => {
    expect(await lines(["logs", first.id, "--max-points", "1000"])).toHaveLength(31);
    const csv = await lines(["logs", first.id, "--csv"]);
    expect(csv).toHaveLength(31);
    expect(csv[0]?.split(",")).toContain("step");
    expect((await ledger(["logs", first.id, "--metric", "nothing"])).out).toContain("it has:");

    const made = trainerFolder(stack.home, { max_train_epochs: 40 });
    const command = ["python3", trainer, "--config_file", made.config, "--sleep", "0.05"];
    const running = stack.client(["run", "--", ...command], { env: box() });
    const id = await eventually("the task", () =>
      Number(/as task (\d+)/.exec(running.output())?.[1]),
    );
    await eventually(
      "its curve",
      async () => (await stack.api(`/api/tasks/${id}/logs`)).total > 20,
    );
    const following = ledger(["logs", id, "-f", "--interval", "0.2"]);
    const [told] = await lines(["cancel", id]);
    expect(told).toContain("next heartbeat");
    expect((await running.ended).code).not.toBe(0);
    expect(await stack.api(`/api/tasks/${id}`)).toMatchObject({ status: "cancelled" });
    const { code, out } = await following;
    expect(code).toBe(0);
    const { total } = await stack.api(`/api/tasks/${id}/logs?max_points=10000`);
    const printed = out.trim().split("\n");
    expect(printed.slice(1, -1).map((line) => Number(line.split("\t")[0]))).toEqual(
      Array.from({ length: total }, (_, i) => i + 1),
    );
    expect(printed.at(-1)).toMatch(new RegExp(`^# task ${id}: cancelled`));
  });

  it("pull brings every file with its hash, once", async () => {
    const folder = join(mkdtempSync(join(stack.home, "pull-")), "got");
    const got = await lines(["pull", first.id, "-o", folder, "--kind", "final"]);
    expect(got.at(-1)).toMatch(/aki\.safetensors: pulled, hash checked/);
    const bytes = readFileSync(join(folder, "aki.safetensors"));
    expect(bytes.equals(readFileSync(join(first.output, "aki.safetensors")))).toBe(true);
    const again = await lines(["pull", first.id, "-o", folder]);
    expect(again.join("\n")).toMatch(/aki\.safetensors: already here, hash checked/);
    appendFileSync(join(folder, "aki.safetensors"), "!");
    const spoiled = await ledger(["pull", first.id, "-o", folder, "--kind", "final"]);
    expect(spoiled).toMatchObject({ code: 1, out: expect.stringContaining("other content") });
  });
});

describe("recording what is unusual", () => {
  it("keeps a configuration that nobody can read, and all that is known besides", async () => {
    const folder = mkdtempSync(join(stack.home, "broken-"));
    const config = join(folder, "my.toml");
    writeFileSync(config, '[network\nnetwork_dim = "1');
    const said = await lines(["run", "--config", config, "--", "python3", "-c", "print(1)"]);
    expect(said.join("\n")).toMatch(/line 1, column \d+.*kept as it is/);
    const id = Number(/as task (\d+)/.exec(said.join())?.[1]);
    const task = await stack.api(`/api/tasks/${id}`);
    expect(task).toMatchObject({ task_name: "my", trainer: "unknown", status: "success" });
    expect(task.node_info.hostname).toBeTruthy();
    const again = await stack.api(`/api/tasks/${id}/reproduce`);
    expect(atob(again.config.base64)).toBe(readFileSync(config, "utf8"));
  });

  it("finds the trainer within a shell script", async () => {
    const { folder, config, output } = trainerFolder(stack.home, { max_train_epochs: 1 });
    const script = join(folder, "train.sh");
    const command = `python3 ${trainer} --config_file ${config} --network_dim 8`;
    writeFileSync(script, `#!/bin/sh\nsleep 1\n${command} --sleep 0.05\n`);
    const said = (await lines(["run", "--", "sh", script])).join("\n");
    expect(said).toContain("safe to destroy this box");
    const id = Number(/as task (\d+)/.exec(said)?.[1]);
    expect(await stack.api(`/api/tasks/${id}`)).toMatchObject({
      ...{
        trainer: "kohya",
        task_name: "aki",
        lora_rank: 8,
        status: "success",
        output_dir: output,
      },
      additional_args: { started_by: ["sh", script] },
    });
    expect((await stack.api(`/api/tasks/${id}/logs`)).total).toBe(30);
    const { items } = await stack.api(`/api/weights?task_id=${id}`);
    const names = items.map((w: { filename: string }) => w.filename);
    expect(names).toEqual(expect.arrayContaining(["aki.safetensors", "train.sh"]));
  });
});

describe("again", () => {
  it("reproduce writes the very files, says what differs, and runs a child; diff compares", async () => {
    const data = join(first.folder, "data.toml");
    writeFileSync(
      data,
      `# kept\r\n[[datasets]]\r\n[[datasets.subsets]]\r\nimage_dir = "${join(root, "examples/first-run/dataset/10_aki")}"\r\n`,
    );
    const config = join(first.folder, "listed.toml");
    writeFileSync(
      config,
      `pretrained_model_name_or_path = "someone/base"\nnetwork_module = "networks.lora"\ndataset_config = "${data}"\noutput_dir = "${join(first.folder, "listed")}"\noutput_name = "listed"\n`,
    );
    // What it needs of sd-scripts: it reads both files, and writes the final weights.
    const script = join(first.folder, "train_network.py");
    writeFileSync(
      script,
      `import os, sys, shutil
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
data = given.get("--dataset_config") or open(given["--config_file"]).read().split('dataset_config = "')[1].split('"')[0]
print("reading " + open(data).readline().strip() + " of " + data)
os.makedirs("${join(first.folder, "listed")}", exist_ok=True)
shutil.copy("${join(first.output, "aki.safetensors")}", "${join(first.folder, "listed", "listed.safetensors")}")
print("model saved.")
`,
    );
    const said0 = await lines(["run", "--", "python3", script, "--config_file", config]);
    const listed = {
      id: Number(/recording as task (\d+)/.exec(said0.join())?.[1]),
      config,
      folder: mkdtempSync(join(first.folder, "repeat-")),
    };
    const task = await stack.api(`/api/tasks/${listed.id}`);
    expect(task.data_dir).toBe(join(root, "examples/first-run/dataset/10_aki"));
    expect(task.config_snapshot.dataset_file.datasets).toHaveLength(1);
    renameSync(data, `${data}.gone`);
    const again = join(listed.folder, "again");
    const said = (await lines(["reproduce", listed.id, "-o", again])).join("\n");
    expect(
      readFileSync(join(again, basename(listed.config))).equals(readFileSync(listed.config)),
    ).toBe(true);
    expect(readFileSync(join(again, "data.toml"), "utf8")).toMatch(/^# kept\r\n/);
    expect(said).toContain(`--dataset_config ${join(again, "data.toml")}`);
    expect(said).toContain("nothing that was recorded differs here");

    const other = join(listed.folder, "other");
    const child = (await lines(["reproduce", listed.id, "-o", other, "--run"])).join("\n");
    expect(child).toContain(`reading # kept of ${join(other, "data.toml")}`);
    const id = Number(/recording as task (\d+)/.exec(child)?.[1]);
    expect(await stack.api(`/api/tasks/${id}`)).toMatchObject({
      parent_task_id: listed.id,
      status: "success",
      task_name: "listed",
      data_dir: task.data_dir,
    });
    const changed = (await lines(["diff", first.id, id])).join("\n");
    expect(changed).toContain("parent_task_id");
    expect(changed).toContain("dataset_file");
    const sections = JSON.parse((await lines(["diff", first.id, first.id, "--json"])).join("\n"));
    expect(Object.values(sections).flat()).toEqual([]);
  });
});

/** The same weight file, said to be for another base model. */
function withBase(file: Buffer, base: string): Buffer {
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.subarray(8, start).toString());
  header.__metadata__.ss_base_model_version = base;
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, file.subarray(start)]);
}

describe("past runs", () => {
  it("import records a file once, with its curve and its bytes", async () => {
    const file = join(first.output, "aki.safetensors");
    const logs = join(first.folder, "logs");
    const before = (await stack.api("/api/tasks?limit=200")).items.length;
    const said = await lines(["import", file, "--group", "old", "--upload", "--tensorboard", logs]);
    expect(said.at(-1)).toBe("1 imported, 0 known already, 0 failed");
    const [task] = (await stack.api("/api/tasks?limit=1")).items;
    expect(task).toMatchObject({
      ...{ trainer: "kohya", lora_rank: 4, lora_alpha: 2, status: "success" },
      ...{ experiment_group: "old", import_source: expect.stringContaining("safetensors:") },
    });
    const imported = await stack.api(`/api/tasks/${task.id}/logs?max_points=10000`);
    const recorded = await stack.api(`/api/tasks/${first.id}/logs?max_points=10000`);
    const values = ({ points }: { points: number[][] }) => points.map((p) => [p[0], p[3]]);
    expect(values(imported)).toEqual(values(recorded));
    const { items } = await stack.api(`/api/weights?task_id=${task.id}`);
    expect(items).toMatchObject([{ kind: "final", state: "complete", verified: "sha256" }]);

    await runScheduled(stack.url);
    expect((await stack.api(`/api/tasks/${task.id}`)).final_loss).toBeCloseTo(
      (await stack.api(`/api/tasks/${first.id}`)).final_loss,
      6,
    );

    const copy = join(first.folder, "another-name.safetensors");
    writeFileSync(copy, readFileSync(file));
    const twice = await lines(["import", copy, file, "--upload"]);
    expect(twice.at(-1)).toBe("0 imported, 2 known already, 0 failed");
    await lines(["import", file, "--tensorboard", logs]);
    expect((await stack.api("/api/tasks?limit=200")).items).toHaveLength(before + 1);
    expect(values(await stack.api(`/api/tasks/${task.id}/logs?max_points=10000`))).toEqual(
      values(recorded),
    );
  });

  it("config writes what the ledger reads as that trainer's, from a file and from another's run", async () => {
    const file = join(first.folder, "xl.safetensors");
    writeFileSync(
      file,
      withBase(readFileSync(join(first.output, "aki.safetensors")), "sdxl_base_v1-0"),
    );
    for (const [name, extension] of Object.entries({
      kohya: "toml",
      "lora-scripts": "toml",
      onetrainer: "json",
      "ai-toolkit": "yaml",
      "diffusion-pipe": "toml",
    })) {
      const folder = mkdtempSync(join(stack.home, "config-"));
      // It trains no Stable Diffusion 1, which the recorded run is for.
      for (const source of name === "diffusion-pipe" ? [file] : [file, String(first.id)]) {
        const path = join(folder, `${basename(source)}.${extension}`);
        await lines(["config", source, "--for", name, "-o", path, "--force"]);
        const text = readFileSync(path, "utf8");
        expect(text).toMatch(/read/);
        // A weight file tells the names of its data's folders, a recorded run where they lie.
        expect(text).toContain(source === file ? "FILL IN" : "examples/first-run/dataset");
        const { task } = await stack.api("/api/tasks", { config: { text, path } });
        expect(task).toMatchObject({ lora_rank: 4, model_type: "stable-diffusion" });
        expect([name, "kohya"]).toContain(task.trainer);
      }
      expect(
        await ledger([
          "config",
          file,
          "--for",
          name,
          "-o",
          join(folder, `xl.safetensors.${extension}`),
        ]),
      ).toMatchObject({
        code: 1,
        out: expect.stringContaining("--force"),
      });
    }
  });
});

describe("safe to destroy", () => {
  /** Whether `safe` says yes on the box, and all it says. */
  async function safe(env: ReturnType<typeof box>, ...more: (string | number)[]) {
    const { code, out } = await ledger(["safe", ...more], { env });
    expect(out.startsWith(code === 0 ? "SAFE:" : "NOT SAFE:"), out).toBe(true);
    return { yes: code === 0, out };
  }

  it("yes after a whole run, and no for each part of it that is missing", async () => {
    const env = box();
    const { output, id, out } = await record("whole", [], {}, env);
    expect(out).toContain("safe to destroy this box");
    const final = join(output, "aki.safetensors");
    old(final);
    expect(await safe(env)).toMatchObject({ yes: true });

    const bytes = readFileSync(final);
    const flipped = Buffer.from(bytes);
    flipped.writeUInt8(flipped.readUInt8(flipped.length - 1) ^ 1, flipped.length - 1);
    writeFileSync(final, flipped);
    old(final);
    expect((await safe(env)).out).toContain("does not hold this file as it is now");
    writeFileSync(final, bytes);
    old(final);

    const stray = join(output, "not-uploaded.safetensors");
    writeFileSync(stray, bytes.subarray(0, 100));
    old(stray);
    expect(await safe(env)).toMatchObject({ yes: false });
    rmSync(stray);

    const announced = await stack.api(`/api/tasks/${id}/weights`, {
      ...{ filename: "half.safetensors", size: 10, kind: "checkpoint" },
      sha256: createHash("sha256").update("half").digest("hex"),
    });
    expect((await safe(env)).out).toContain("half.safetensors has not arrived whole");
    const headers = { Authorization: `Bearer ${stack.admin}` };
    await fetch(`${stack.url}/api/weights/${announced.weight_id}`, { method: "DELETE", headers });
    expect(await safe(env)).toMatchObject({ yes: true });

    const away = await ledger(["safe"], { env, ledger: "http://127.0.0.1:9" });
    expect(away).toMatchObject({ code: 1 });
    const wrong = await ledger(["safe"], { env, key: "nonsense" });
    expect(wrong).toMatchObject({ code: 1 });
    const other = await stack.key("stranger", "member", ["box"]);
    expect(await ledger(["safe"], { env, key: other })).toMatchObject({ code: 1 });

    const { items } = await stack.api(`/api/weights?task_id=${id}&kind=final`);
    await fetch(`${stack.url}/api/weights/${items[0].id}`, { method: "DELETE", headers });
    expect((await safe(env)).out).toContain("does not hold this file as it is now");

    await fetch(`${stack.url}/api/tasks/${id}`, { method: "DELETE", headers });
    expect((await safe(env)).out).toContain(`task ${id}: the ledger does not show it`);
    expect(await safe(box())).toMatchObject({ yes: false });
  });

  it("no while it runs, after its client was killed, and before sync; yes after sync", async () => {
    const env = box();
    const made = trainerFolder(stack.home, { max_train_epochs: 40 });
    const command = ["python3", trainer, "--config_file", made.config, "--sleep", "0.05"];
    const running = stack.client(["run", "--", ...command], { env });
    const id = await eventually("the task", () =>
      Number(/as task (\d+)/.exec(running.output())?.[1]),
    );
    await eventually("its curve", async () => (await stack.api(`/api/tasks/${id}/logs`)).total > 5);
    expect((await safe(env)).out).toContain("still");
    running.child.kill("SIGKILL");
    await running.ended;
    expect((await safe(env)).out).toMatch(/killed|never recorded its end/);
    await ledger(["sync"], { env });
    expect(await safe(env)).toMatchObject({ yes: false });

    const late = box();
    const { config } = trainerFolder(stack.home, { max_train_epochs: 1 });
    const unsent = await ledger(["run", "--", "python3", trainer, "--config_file", config], {
      ledger: "http://127.0.0.1:9",
      env: { ...late, LEDGER_FLUSH_TIMEOUT: "1" },
    });
    expect(unsent.out).toContain("NOT safe to destroy this box yet");
    expect((await safe(late)).out).toContain("not sent");
    expect((await ledger(["sync"], { env: late })).code).toBe(0);
    // The run's record names the address it was sent to.
    expect(await safe(late)).toMatchObject({ yes: true });
  });

  it("no for a run named by its number whose heartbeats have a gap, or that has not ended", async () => {
    const { task_id } = await stack.api("/api/tasks", { task_name: "by hand" });
    const beat = (seq: number) =>
      stack.api(`/api/tasks/${task_id}/heartbeat`, {
        ...{ attempt: 1, seq, progress: {} },
        logs: [{ step: seq, time: new Date().toISOString(), metrics: { loss: 1 } }],
      });
    await beat(1);
    await beat(3);
    const env = box();
    expect((await safe(env, "--task", task_id)).out).toContain("is running in the ledger");
    await stack.api(`/api/tasks/${task_id}/finish`, { attempt: 1, status: "success", last_seq: 3 });
    expect((await safe(env, "--task", task_id)).out).toContain("heartbeats 2 to 2");
    await beat(2);
    expect(await safe(env, "--task", task_id)).toMatchObject({ yes: true });
  });
});

describe("pip install", () => {
  it("of the repository's folder exposes the same command", async () => {
    const folder = mkdtempSync(join(stack.home, "venv-"));
    const python = join(folder, "bin/python");
    expect((await runProcess("python3", ["-m", "venv", folder]).ended).code).toBe(0);
    const pip = ["-m", "pip", "install", "--no-deps", "--quiet", join(root, "client")];
    const installed = await runProcess(python, pip).ended;
    expect(installed.code, installed.out).toBe(0);
    const version = await runProcess(join(folder, "bin/lora-ledger"), ["--version"]).ended;
    expect(version.out).toMatch(/^lora-ledger \d+\.\d+/);
    const env = { ...process.env, LEDGER_URL: stack.url, LEDGER_KEY: stack.admin, ...box() };
    const listed = await runProcess(join(folder, "bin/lora-ledger"), ["ls"], { env }).ended;
    expect(listed.out).toContain("first");
  });
});
