// A whole ledger written into a file and read into an empty database, by real processes.
import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { gunzipSync, gzipSync } from "node:zlib";
import { createClient } from "@libsql/client/http";
import { decodeJwt } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { localBucket } from "../scripts/backup/local-bucket.ts";
import { type Bucket, copyIn, copyOut } from "../scripts/backup/objects.ts";
import { migrationsOf } from "../scripts/backup/tables.ts";
import { backup } from "../scripts/backup.ts";
import { root } from "../scripts/local/processes.ts";
import { type Sqld, startSqld } from "../scripts/local/sqld.ts";
import { startWorker } from "../scripts/local/worker.ts";
import { knownMigrations, migrate } from "../scripts/migrate.ts";
import { restore } from "../scripts/restore.ts";
import { eventually, runProcess, SECRET, type Stack, startStack } from "./stack.ts";

let stack: Stack;
let home: string;
let files = 0;
const newFile = () => join(home, `ledger-${++files}.gz`);
const started: Sqld[] = [];

/** A database server with nothing in it. */
async function emptyDatabase() {
  const sqld = await startSqld({ dataDir: mkdtempSync(join(home, "sqld-")) });
  started.push(sqld);
  return sqld;
}

async function query(url: string, sql: string) {
  const client = createClient({ url });
  try {
    return (await client.execute(sql)).rows.map((row) => ({ ...row }));
  } finally {
    client.close();
  }
}
/** Does something with the emulated bucket in a folder; parts of 5 MiB, the least that R2 takes. */
async function withBucket<T>(state: string, work: (bucket: Bucket) => Promise<T>) {
  const bucket = await localBucket(state, 5 * MiB);
  try {
    return await work(bucket);
  } finally {
    await bucket.close();
  }
}
const objects = (url: string) =>
  query(
    url,
    "select count(*) as n from sqlite_master where name not like 'sqlite\\_%' escape '\\'",
  );

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "lora-ledger-backup-"));
  stack = await startStack();
});
afterEach(async () => {
  for (const sqld of started.splice(0)) await sqld.stop();
});
afterAll(async () => {
  await stack?.stop();
  rmSync(home, { recursive: true, force: true });
});

/** Bytes as a trainer's file may have them: CRLF, Chinese in GB18030, and 3 MB of it. */
const odd = Buffer.concat([
  Buffer.from("network_dim = 8\r\n# "),
  Buffer.from([0xc4, 0xe3, 0xba, 0xc3, 0x0d, 0x0a]),
  Buffer.from("# line of a large file\r\n".repeat(130_000)),
]);

const MiB = 1024 * 1024;
const large11 = randomBytes(11 * MiB);

/** Runs, curves, files, people and what was done to them, by the ledger's own routes. */
async function fill() {
  const anna = await stack.key("anna");
  const post = (path: string, body: unknown, key = anna) => stack.api(path, body, key);
  const { task_id: parent } = await post("/api/tasks", {
    task_name: "aki 明 \"quoted\" 'name'",
    notes: "über\nzwei Zeilen",
    tags: { kind: "style" },
    learning_rate: 1e-4,
    seed: 9_007_199_254_740_991,
    datasets: [{ name: "set", image_count: 3, tag_distribution: { "1girl": 3 } }],
  });
  for (let seq = 1; seq <= 3; seq++)
    await post(`/api/tasks/${parent}/heartbeat`, {
      attempt: 1,
      seq,
      logs: [
        { step: seq * 2, epoch: 0.5, metrics: { loss: seq === 2 ? "NaN" : 0.1 + seq, lr: 1e-4 } },
        { step: seq * 2 + 1, metrics: { loss: 1 / 3 } },
      ],
      tail: "last line",
    });
  await post(`/api/tasks/${parent}/finish`, { attempt: 1, status: "success", last_seq: 3 });
  const large = await fetch(`${stack.url}/api/tasks?filename=odd.toml`, {
    method: "POST",
    headers: { Authorization: `Bearer ${anna}`, "Content-Type": "application/octet-stream" },
    body: odd,
  });
  expect([large.status, await large.text()]).toEqual([200, expect.any(String)]);
  for (const bytes of [Buffer.from("bytes of a file"), large11, Buffer.alloc(0)]) {
    const { weight_id, upload } = await post(`/api/tasks/${parent}/weights`, {
      filename: `${bytes.length}.bin`,
      size: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
      kind: "final",
    });
    await fetch(upload.url, { method: "PUT", headers: upload.headers, body: bytes });
    await post(`/api/weights/${weight_id}/complete`, {});
  }
  const { task_id: child } = await post("/api/tasks", { task_name: "b", parent_task_id: parent });
  await post(`/api/tasks/${child}/cancel`, {});
  const { task_id: gone } = await post("/api/tasks", { task_name: "in the trash" });
  await fetch(`${stack.url}/api/tasks/${gone}`, {
    method: "DELETE",
    headers: { Authorization: `Bearer ${anna}` },
  });
  await post("/api/models", { name: "m" });
  const chosen = await fetch(`${stack.url}/api/me/preferences/charts`, {
    method: "PUT",
    headers: { Authorization: `Bearer ${anna}`, "Content-Type": "application/json" },
    body: JSON.stringify({ value: { axis: "epoch", pinned: ["val/loss"] } }),
  });
  expect(chosen.status).toBe(200);
  // An id that was given out and is no more.
  const { task_id: last } = await post("/api/tasks", { task_name: "purged" });
  await query(stack.databaseUrl(), `delete from training_task where id = ${last}`);
  return { anna, parent, last };
}

test("a restored ledger answers the same, goes on with the next id, and keeps its rules", async () => {
  const { anna, parent, last } = await fill();
  const paths = [
    ...["/api/tasks?limit=200", "/api/tasks?deleted=true", "/api/users", "/api/keys", "/api/me"],
    "/api/me/preferences/charts",
    ...["", "/logs", "/logs?format=csv&metric=lr", "/datasets", "/reproduce"].map(
      (end) => `/api/tasks/${parent}${end}`,
    ),
    ...[
      `/api/tasks/${parent + 1}/config`,
      `/api/tasks/${parent + 1}`,
      "/api/weights",
      "/api/weights/1",
    ],
    ...[
      "/api/audit?limit=200",
      "/api/audit/exports",
      "/api/audit/exports/1",
      "/api/models",
      "/api/table?fields=lora_rank,tags.kind,metrics.loss.min",
    ],
    `/api/tasks?filter=${encodeURIComponent("tags.kind = 'style' and metrics.loss.last < 1")}`,
    ...["/api/tasks/export?format=jsonl", `/api/tasks?q=${encodeURIComponent("明")}`],
  ];
  const answersOf = (url: string) =>
    Promise.all(
      paths.map(async (path) => {
        const response = await fetch(`${url}${path}`, {
          headers: { Authorization: `Bearer ${stack.admin}` },
        });
        const bytes = Buffer.from(await response.arrayBuffer());
        expect([path, response.status]).toEqual([path, 200]);
        return [path, bytes.toString("latin1")];
      }),
    );
  const [source, target] = [join(stack.home, "worker/state"), join(home, "worker/state")];
  // Audit entries that have moved into the bucket.
  const moved = "audit/2026/000000000001-000000000001";
  const gz = new TextEncoder().encode("gz").buffer;
  await withBucket(source, (b) => b.write(moved, Readable.from([gz]), gz.byteLength));
  await query(
    stack.databaseUrl(),
    `insert into audit_export (first_id, last_id, first_at, last_at, entries, object_key, size, sha256)
     values (1, 1, '2026', '2026', 1, '${moved}', 2, '${createHash("sha256").update("gz").digest("hex")}')`,
  );
  // A key's first use is noted after the answer to it, and /api/keys shows when that was.
  await answersOf(stack.url);
  await eventually("the key's use to be noted", async () => {
    const unused = await query(
      stack.databaseUrl(),
      `select id from api_key where jti = '${decodeJwt(stack.admin).jti}' and last_used_at is null`,
    );
    return unused.length === 0;
  });
  const before = await answersOf(stack.url);
  const file = newFile();
  const rows = await backup({ url: stack.databaseUrl() }, file);

  const folder = join(home, "files");
  const breaking = withBucket(source, (b) => {
    async function* broken() {
      yield new Uint8Array(3);
      throw new Error("aborted");
    }
    const bucket: Bucket = { ...b, read: async () => broken() };
    return copyOut({ url: stack.databaseUrl() }, bucket, folder);
  });
  await expect(breaking).rejects.toThrow(/could not be copied: aborted\. Run it again/);
  const out = () => withBucket(source, (b) => copyOut({ url: stack.databaseUrl() }, b, folder));
  expect(await out()).toEqual({ copied: 4, there: 0, missing: [], different: [] });
  expect(await out()).toEqual({ copied: 0, there: 4, missing: [], different: [] });

  const fresh = await emptyDatabase();
  expect(await restore({ url: fresh.url }, file)).toBe(rows);
  const back = () => withBucket(target, (b) => copyIn({ url: fresh.url }, b, folder));
  expect(await back()).toEqual({ copied: 4, there: 0, missing: [], different: [] });
  expect(await back()).toEqual({ copied: 0, there: 4, missing: [], different: [] });
  const [first] = await query(fresh.url, "select object_key as key from stored_object limit 1");
  const one = String(first?.key);
  rmSync(join(folder, one));
  expect(await back()).toEqual({ copied: 0, there: 3, missing: [one], different: [] });
  const worker = await startWorker({
    databaseUrl: fresh.url,
    jwtSecret: SECRET,
    persistDir: join(home, "worker"),
    vars: { RATE_LIMITS: "false" },
  });
  try {
    expect(await answersOf(worker.url)).toEqual(before);
    for (const [id, size] of [
      [1, 15],
      [2, 11 * MiB],
      [3, 0],
    ] as const) {
      const asked = await fetch(`${worker.url}/api/weights/${id}/download?redirect=false`, {
        headers: { Authorization: `Bearer ${anna}` },
      });
      const link: { url: string; sha256: string } = await asked.json();
      const bytes = Buffer.from(await (await fetch(link.url)).arrayBuffer());
      expect([bytes.length, createHash("sha256").update(bytes).digest("hex")]).toEqual([
        size,
        link.sha256,
      ]);
    }
    const registered = await fetch(`${worker.url}/api/tasks`, {
      method: "POST",
      headers: { Authorization: `Bearer ${anna}`, "Content-Type": "application/json" },
      body: '{"task_name":"next"}',
    });
    expect(await registered.json()).toMatchObject({ task_id: last + 1 });
  } finally {
    await worker.stop();
  }
  const master =
    "select type, name, sql from sqlite_master where name <> 'sqlite_stat1' order by type, name";
  expect(await query(fresh.url, master)).toEqual(await query(stack.databaseUrl(), master));
  expect(await query(fresh.url, "pragma foreign_key_check")).toEqual([]);
  expect(await query(fresh.url, "pragma integrity_check")).toEqual([{ integrity_check: "ok" }]);
  for (const view of ["training_log", "metric_point", "version_hold"])
    expect(await query(fresh.url, `select * from ${view}`)).toEqual(
      await query(stack.databaseUrl(), `select * from ${view}`),
    );
  await expect(query(fresh.url, "delete from audit_entry")).rejects.toThrow(/append-only/);

  // A backup of what was restored is the same again, line for line.
  const second = await emptyDatabase();
  await restore({ url: second.url }, file);
  const again = newFile();
  await backup({ url: second.url }, again);
  const linesOf = (path: string) =>
    gunzipSync(readFileSync(path)).toString().split("\n").slice(1, -2);
  expect(linesOf(again)).toEqual(linesOf(file));

  await expect(restore({ url: second.url }, file)).rejects.toThrow(/holds a ledger already/);
  await expect(backup({ url: second.url }, again)).rejects.toThrow(/there already/);
});

test("a backup is of one moment, while people go on writing", async () => {
  let writing = true;
  const written = (async () => {
    const key = await stack.key("busy");
    while (writing) {
      const { task_id } = await stack.api(
        "/api/tasks",
        { datasets: [{ name: `${Math.random()}` }] },
        key,
      );
      await stack.api(
        `/api/tasks/${task_id}/heartbeat`,
        { seq: 1, logs: [{ step: 1, metrics: { loss: 1 } }] },
        key,
      );
    }
  })();
  const file = newFile();
  await backup({ url: stack.databaseUrl() }, file);
  writing = false;
  await written;
  const target = await emptyDatabase();
  await restore({ url: target.url }, file);
  for (const [table, parent] of [
    ["task_attempt", "training_task where id = x.task_id"],
    ["log_chunk", "task_attempt a where a.task_id = x.task_id"],
    ["task_dataset", "dataset where id = x.dataset_id"],
  ])
    expect(
      await query(
        target.url,
        `select count(*) as n from ${table} x where not exists (select 1 from ${parent})`,
      ),
    ).toEqual([{ n: 0 }]);
});

describe("refused, with nothing written:", () => {
  let file: string;
  let lines: string[];
  beforeAll(async () => {
    const source = await startSqld({ dataDir: mkdtempSync(join(home, "sqld-")) });
    await migrate(source.url);
    await query(source.url, "insert into user (name) values ('a'), ('b')");
    file = newFile();
    await backup({ url: source.url }, file);
    await source.stop();
    lines = gunzipSync(readFileSync(file)).toString().trimEnd().split("\n");
  });

  /** Lines with an end that fits them. */
  const sealed = (some: string[]) => {
    const body = some.slice(0, -1).map((line) => `${line}\n`);
    const hash = createHash("sha256");
    for (const line of body) hash.update(line);
    const rows = body.filter((line) => line.startsWith("[")).length;
    return gzipSync(
      `${body.join("")}${JSON.stringify({ end: true, rows, sha256: hash.digest("hex") })}\n`,
    );
  };
  const change = (from: string | RegExp, to: string) => lines.map((line) => line.replace(from, to));
  const userRow = () => lines.findIndex((line) => line.includes('"a"'));
  const flipped = (bytes: Buffer) => {
    const copy = Buffer.from(bytes);
    copy[copy.length >> 1] = (copy[copy.length >> 1] ?? 0) ^ 0x10;
    return copy;
  };

  test.each<[string, () => Buffer | string, RegExp]>([
    ["an empty file", () => "", /empty|cannot be unpacked/],
    ["text", () => "hello", /cannot be unpacked/],
    [
      "half a file",
      () => readFileSync(file).subarray(0, readFileSync(file).length / 2),
      /whole backup/,
    ],
    ["a flipped bit", () => flipped(readFileSync(file)), /whole backup/],
    [
      "lines without their end",
      () => gzipSync(`${lines.slice(0, -1).join("\n")}\n`),
      /its end is missing/,
    ],
    ["a changed row", () => gzipSync(`${change('"a"', '"c"').join("\n")}\n`), /not those/],
    [
      "a row left out",
      () => sealed(lines.filter((_, n) => n !== userRow())),
      /rows of user are missing/,
    ],
    ["a row too wide", () => sealed(change('"a"', '"a",1')), /in no table/],
    ["something behind the end", () => gzipSync(`${lines.join("\n")}\n[1]\n`), /behind its end/],
    ["no JSON", () => sealed(change('"a"', "a")), /not what such a file holds/],
    ["another file of JSON", () => gzipSync('{"a":1}\n'), /not what such a file holds/],
    [
      "one of a later version",
      () => sealed(change(/"migrations":\[/, '"migrations":["x",')),
      /another version/,
    ],
    // Only found out on the way: what was written is taken back.
    [
      "a table nobody knows",
      () => sealed(change('"user":2', '"user":2,"other":0')),
      /no table other/,
    ],
    ["a row that breaks a rule", () => sealed(change('"member"', '"emperor"')), /CHECK|constraint/],
  ])("%s", async (_, bytes, why) => {
    const broken = newFile();
    writeFileSync(broken, bytes());
    const target = await emptyDatabase();
    await expect(restore({ url: target.url }, broken)).rejects.toThrow(why);
    expect(await objects(target.url)).toEqual([{ n: 0 }]);
  });

  test("a file that is not there, and a database that holds something else", async () => {
    const target = await emptyDatabase();
    await expect(restore({ url: target.url }, join(home, "none.gz"))).rejects.toThrow(
      /There is no/,
    );
    await query(target.url, "create table other (id integer)");
    await expect(restore({ url: target.url }, file)).rejects.toThrow(/something else/);
    expect(await objects(target.url)).toEqual([{ n: 1 }]);
    await expect(backup({ url: target.url }, newFile())).rejects.toThrow(/no ledger/);
  });

  test("but an unfinished restore is begun anew, and an older ledger brought up to date", async () => {
    const [source, target] = [await emptyDatabase(), await emptyDatabase()];
    const known = knownMigrations();
    await migrate(source.url, undefined, known.length - 3);
    await query(source.url, "insert into user (name) values ('old')");
    const old = newFile();
    await backup({ url: source.url }, old);
    await migrate(target.url);
    await query(target.url, "insert into user (name) values ('half')");
    await query(target.url, "create table __restore (at text)");
    await restore({ url: target.url }, old);
    expect(await query(target.url, "select name from user")).toEqual([{ name: "old" }]);
    const client = createClient({ url: target.url });
    expect(await migrationsOf(client)).toEqual(known);
    client.close();
  });
});

test("both are commands that say what they did", async () => {
  const run = (local: string, name: string, ...args: string[]) =>
    runProcess(process.execPath, [join(root, "scripts/run.mjs"), name, ...args], {
      env: { ...process.env, LEDGER_LOCAL: join(home, local) },
    }).ended;
  const file = newFile();
  expect((await run("one", "key", "anna")).code).toBe(0);
  const saved = await run("one", "backup", file, "--with-files", join(home, "none"));
  expect(saved.out).toContain("0 files copied");
  expect(saved).toMatchObject({
    code: 0,
    out: expect.stringMatching(/holds the whole database: \d+ rows/),
  });
  expect((await run("two", "restore", file)).out).toMatch(/\d+ rows were restored/);
  const refused = await run("two", "restore", file);
  expect(refused).toMatchObject({
    code: 1,
    out: expect.stringContaining("holds a ledger already"),
  });
  expect(refused.out).not.toContain("    at ");
  expect(await run("one", "backup")).toMatchObject({
    code: 1,
    out: expect.stringContaining("Usage:"),
  });
  expect((await run("one", "restore", file, "--nonsense")).out).toContain("Usage:");
});
