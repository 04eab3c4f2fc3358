// The way of docs/models.md from a run to an approved model, as it is written there, with three people's keys, a
// really trained LoRA and the real client; and what pulling does when files and aliases change.
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../scripts/local/database.ts";
import { root } from "../scripts/local/processes.ts";
import { runProcess, type Stack, startStack, trainer, trainerFolder } from "./stack.ts";

let stack: Stack;
let anna: string;
let bert: string;
let carla: string;
let home: string;
let final: { id: number; sha256: string };
let checkpoint: { id: number; sha256: string };

beforeAll(async () => {
  stack = await startStack();
  anna = await stack.key("anna");
  bert = await stack.key("bert", "member", ["models:read", "models:approve"]);
  carla = await stack.key("carla", "member", ["models:read", "models:write", "models:release"]);
  home = join(stack.home, "people");
  mkdirSync(home);
  copyFileSync(join(root, "dist/client.py"), join(home, "ledger.py"));
  const { config } = trainerFolder(stack.home, { max_train_epochs: 2 });
  const run = ["run", "--config", config, "--", "python3", trainer, "--config_file", config];
  expect((await stack.client(run, { key: anna }).ended).code).toBe(0);
  const [task] = (await stack.api("/api/tasks?limit=1")).items;
  const files = async (kind: string) =>
    (await stack.api(`/api/weights?task_id=${task.id}&kind=${kind}`)).items[0];
  final = await files("final");
  checkpoint = await files("checkpoint");
  // A sample as trainers make them, for the preview.
  const image = readFileSync(join(root, "examples/first-run/dataset/10_aki/aki_01.png"));
  const announced = await stack.api(`/api/tasks/${task.id}/weights`, {
    filename: "sample/aki_e000002.png",
    kind: "sample",
    prompt: "aki, a portrait",
    size: image.length,
    sha256: createHash("sha256").update(image).digest("hex"),
  });
  const { url, headers } = announced.upload;
  expect((await fetch(url, { method: "PUT", headers, body: new Uint8Array(image) })).status).toBe(
    200,
  );
  await stack.api(`/api/weights/${announced.weight_id}/complete`, {});
}, 180_000);
afterAll(() => stack.stop());

const sha256 = (path: string) => createHash("sha256").update(readFileSync(path)).digest("hex");
const json = (path: string) => JSON.parse(readFileSync(path, "utf8"));
const loras = (name: string) => join(home, "loras", name);
const pull = (ref: string, ...more: string[]) =>
  stack.client(["pull", "model", ref, "-o", join(home, "loras"), ...more], { key: carla }).ended;

/** The commands of a section of docs/models.md, but for those that make the keys. */
function commands(heading: string): string {
  const page = readFileSync(join(root, "docs/models.md"), "utf8");
  const [, section = ""] = page.split(`\n## ${heading}\n`);
  const blocks = [...(section.split(/\n## /)[0] ?? "").matchAll(/```sh\n(.*?)```/gs)];
  return blocks.map(([, block]) => block).find((block) => block?.startsWith("as()")) ?? "";
}

describe("the way of docs/models.md from a run to an approved model", () => {
  it("works as it stands there, for three people", async () => {
    const script = join(home, "story.sh");
    writeFileSync(script, `set -euo pipefail\n${commands("The whole way, with curl")}`);
    const { code, out } = await runProcess("bash", [script], {
      cwd: home,
      env: {
        ...process.env,
        ...{ U: stack.url, ANNA: anna, BERT: bert, CARLA: carla },
        ...{ W: String(final.id), W2: String(checkpoint.id) },
        LEDGER_SPOOL: join(stack.home, "spool"),
      },
    }).ended;
    expect(code, out).toBe(0);
    expect(out).toContain("\n304\n");
    expect(out).toContain("library_name: diffusers");
    expect(sha256(loras("anime-style.safetensors"))).toBe(final.sha256);
    const live = await stack.api("/api/models/anime-style/production");
    expect(live).toMatchObject({ version: 1, state: "released", created_by: "anna" });
    const { items } = await stack.api("/api/audit?subject=model&limit=200");
    const steps = items
      .map((e: { action: string; user: string }) => `${e.user} ${e.action}`)
      .reverse();
    expect(steps).toEqual([
      "anna model.create",
      "anna model.add_version",
      "anna model.submit",
      "bert model.approve",
      "carla model.release",
      "anna model.add_version",
      "anna model.submit",
      "bert model.approve",
      "carla model.release",
      "carla model.roll_back",
      "carla model.share",
    ]);
    // A public link gives the same file to someone without a key.
    const [link] = out.match(/http:\/\/[^"]*\/share\/[\w-]+/) ?? [];
    const shared: { url: string } = JSON.parse(
      await (await fetch(`${link}?redirect=false`)).text(),
    );
    const bytes = new Uint8Array(await (await fetch(shared.url)).arrayBuffer());
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(final.sha256);
  });
});

describe("npm run verify-storage", () => {
  it("finds the storage whole, and says what was lost", async () => {
    const verify = async () =>
      runProcess("node", [join(root, "scripts/run.mjs"), "verify-storage"], {
        env: { ...process.env, LEDGER_URL: stack.url, LEDGER_KEY: stack.admin },
      }).ended;
    const whole = await verify();
    expect([whole.code, whole.out]).toEqual([0, expect.stringContaining("0 faults")]);
    const db = openDatabase({ url: stack.databaseUrl() });
    try {
      await db.run(
        sql`insert into stored_object (object_key, task_id, size, sha256, state) values ('w/0/lost', 0, 5, 'x', 'complete')`,
      );
      const lost = await verify();
      expect([lost.code, lost.out]).toEqual([
        1,
        expect.stringContaining("w/0/lost is missing in the bucket"),
      ]);
      await db.run(sql`delete from stored_object where object_key = 'w/0/lost'`);
    } finally {
      db.$client.close();
    }
    const stranger = await runProcess("node", [join(root, "scripts/run.mjs"), "verify-storage"], {
      env: { ...process.env, LEDGER_URL: stack.url, LEDGER_KEY: anna },
    }).ended;
    expect([stranger.code, stranger.out]).toEqual([1, expect.stringContaining("403")]);
  });
});

describe("pull model", () => {
  it("writes what the person's tools read, and leaves what the person wrote", async () => {
    expect(json(loras("anime-style.json"))).toMatchObject({
      "sd version": expect.any(String),
      "activation text": expect.stringContaining("aki"),
      notes: "the cleanest hands",
    });
    expect(json(loras("anime-style.civitai.info"))).toMatchObject({
      name: "v1",
      trainedWords: expect.arrayContaining(["aki"]),
      model: { name: "anime-style", type: "LORA" },
      files: [{ hashes: { SHA256: final.sha256.toUpperCase() } }],
      images: [{ url: "anime-style.preview.png", meta: { prompt: "aki, a portrait" } }],
    });
    expect(json(loras("anime-style.metadata.json"))).toMatchObject({
      file_name: "anime-style",
      sha256: final.sha256,
      preview_url: expect.stringContaining("anime-style.preview.png"),
    });
    expect(sha256(loras("anime-style.preview.png"))).toBe(
      sha256(join(root, "examples/first-run/dataset/10_aki/aki_01.png")),
    );
    const again = await pull("anime-style:production");
    expect(again.out).toContain("already here, hash checked");
    expect(again.out).not.toContain("written");
    // A weight set in the web UI survives the next version.
    const edited = {
      ...json(loras("anime-style.json")),
      "preferred weight": 0.8,
      "negative text": "blurry",
    };
    writeFileSync(loras("anime-style.json"), JSON.stringify(edited));
    await stack.api("/api/models/anime-style/versions/2/release", {}, carla);
    const moved = await pull("anime-style");
    expect(moved.code, moved.out).toBe(0);
    expect(sha256(loras("anime-style.safetensors"))).toBe(checkpoint.sha256);
    expect(json(loras("anime-style.json"))).toMatchObject({
      "preferred weight": 0.8,
      "negative text": "blurry",
      lora_ledger: { version: 2, sha256: checkpoint.sha256 },
    });
    expect(json(loras("anime-style.civitai.info")).name).toBe("v2");
  });

  it("takes the place of nothing that it did not bring", async () => {
    writeFileSync(loras("anime-style-v1.safetensors"), "mine");
    writeFileSync(loras("anime-style-v1.json"), '{"notes": "mine"}');
    const refused = await pull("anime-style:1");
    expect(refused.code).toBe(1);
    expect(refused.out).toContain("already with other content");
    writeFileSync(loras("anime-style.safetensors"), "changed by hand");
    expect((await pull("anime-style")).code).toBe(1);
    const { code, out } = await pull("anime-style:1", "-o", join(home, "other"), "--no-sidecars");
    expect(code, out).toBe(0);
    expect(sha256(join(home, "other/anime-style-v1.safetensors"))).toBe(final.sha256);
    expect(existsSync(join(home, "other/anime-style-v1.json"))).toBe(false);
    writeFileSync(join(home, "other/anime-style-v1.json"), '{"notes": "mine"}');
    const beside = await pull("anime-style:1", "-o", join(home, "other"));
    expect(beside.out).toContain("left alone");
    expect(json(join(home, "other/anime-style-v1.json"))).toEqual({ notes: "mine" });
  });

  it("says what is wrong in a line", async () => {
    for (const [ref, why] of [
      ["anime-style:nowhere", "has no alias nowhere"],
      ["anime-style:9", "no version 9"],
      ["unheard-of:production", "no model unheard-of"],
      ["a/b:production", "is no model"],
      ["anime-style:", "is no model"],
    ] as const) {
      const { code, out } = await pull(ref);
      expect([code, out], ref).toEqual([1, expect.stringContaining(why)]);
    }
    const { out } = await stack.client(["pull", "model", "anime-style"], {
      key: await stack.key("dora", "member", ["tasks:read"]),
    }).ended;
    expect(out).toContain("models:read");
  });
});
