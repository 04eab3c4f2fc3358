import { sql } from "drizzle-orm";
import { beforeEach, expect, it, vi } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { settleLogs } from "../runs/settle-logs.ts";

let ledger: Ledger;
let key: string;

beforeEach(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

const call = (path: string, json?: object, status = 200, who = key) =>
  ledger.call(path, { key: who, ...(json && { json }) }, status);

/** The files of a zip whose entries are stored as they are, by its central directory. */
function unzip(bytes: Uint8Array): Map<string, Uint8Array> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = bytes.length - 22;
  expect(view.getUint32(end, true)).toBe(0x06054b50);
  const files = new Map<string, Uint8Array>();
  let at = view.getUint32(end + 16, true);
  for (let n = view.getUint16(end + 10, true); n > 0; n--) {
    expect(view.getUint32(at, true)).toBe(0x02014b50);
    expect(view.getUint16(at + 10, true)).toBe(0);
    const size = view.getUint32(at + 20, true);
    const [name, extra, comment] = [28, 30, 32].map((o) => view.getUint16(at + o, true));
    const local = view.getUint32(at + 42, true);
    const begin = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    files.set(
      new TextDecoder().decode(bytes.subarray(at + 46, at + 46 + (name ?? 0))),
      bytes.slice(begin, begin + size),
    );
    at += 46 + (name ?? 0) + (extra ?? 0) + (comment ?? 0);
  }
  return files;
}

async function archiveOf(id: number, who = key) {
  const response = await ledger.request(`/api/tasks/${id}/archive`, { key: who });
  expect(response.status).toBe(200);
  const files = unzip(new Uint8Array(await response.arrayBuffer()));
  const about = JSON.parse(new TextDecoder().decode(files.get("ledger.json")));
  return { files, about };
}

const past = {
  source: "archive:abc",
  status: "failed",
  created_at: "2025-01-02T03:04:05.000Z",
  started_at: "2025-01-02T11:05:00+08:00",
  additional_args: { lora_rank: "none", more: [1], key: "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH" },
  finished_at: "2025-01-02T05:05:00.000Z",
  final_loss: 0.25,
  total_duration_sec: 4000,
  cost: 1.5,
  exit_code: 137,
  failure_reason: "oom",
  error_message: "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH: out of memory",
  convergence_step: 7,
  defaulted_fields: ["dropout"],
  attempts: [
    {
      attempt: 1,
      status: "failed",
      started_at: "2025-01-02T03:05:00.000Z",
      failure_reason: "lost",
    },
    {
      attempt: 2,
      status: "failed",
      started_at: "2025-01-02T04:05:00.000Z",
      duration_sec: 3600,
      node_info: { python: "3.11" },
      tail: "the end",
      from_step: 2,
    },
  ],
};
const logs = (from: number, to: number, loss: (step: number) => number | string) =>
  Array.from({ length: to - from + 1 }, (_, n) => ({
    step: from + n,
    time: "2025-01-02T03:05:00.123Z",
    metrics: { loss: loss(from + n) },
  }));

it("takes a run of the past with its attempts and points, once", async () => {
  const body = { task_name: "old", lora_rank: 8, import: past };
  const { task, task_id: id, warnings } = await call("/api/tasks", body);
  expect(task).toMatchObject({
    ...{ status: "failed", attempt: 2, created_at: past.created_at, final_loss: 0.25, cost: 1.5 },
    ...{ total_duration_sec: 4000, exit_code: 137, failure_reason: "oom", convergence_step: 7 },
    ...{ defaulted_fields: ["dropout"], import_source: "archive:abc", lora_rank: 8 },
    ...{ started_at: "2025-01-02T03:05:00.000Z" },
    additional_args: { lora_rank: "none", more: [1], key: "[redacted]" },
  });
  expect(task.error_message).toBe("[redacted]: out of memory");
  expect(warnings).toMatchObject([
    { code: "secret-redacted", path: "error_message" },
    { code: "secret-redacted", path: "additional_args.key" },
  ]);
  const points = (attempt: number, json: object, status = 200) =>
    call(`/api/tasks/${id}/attempts/${attempt}/logs`, json, status);
  await points(1, { seq: 1, logs: logs(1, 3, (n) => n) });
  await points(1, { seq: 5, logs: logs(4, 5, () => "NaN") });
  await points(2, { seq: 1, logs: logs(3, 4, (n) => n * 10) });
  expect(await points(2, { seq: 1, logs: logs(3, 9, () => 0) })).toEqual({
    attempt: 2,
    last_seq: 1,
  });
  await points(3, { seq: 1, logs: logs(1, 1, () => 1) }, 409);
  const curve = await call(`/api/tasks/${id}/logs`);
  expect(curve.points.map(([step, , , loss]: unknown[]) => [step, loss])).toEqual([
    ...[
      [1, 1],
      [2, 2],
      [3, 30],
      [4, 40],
    ],
  ]);
  await settleLogs(ledger.db);
  const shown = await call(`/api/tasks/${id}`);
  expect(shown).toMatchObject({ status: "failed", failure_reason: "oom", final_loss: 0.25 });
  expect(shown.attempts).toMatchObject([
    { attempt: 2, status: "failed", points: 2, tail: "the end", node_info: { python: "3.11" } },
    { attempt: 1, status: "failed", failure_reason: "lost", points: 5, last_seq: 5 },
  ]);
  expect((await call(`/api/tasks?filter=metrics.loss=40`)).items).toHaveLength(1);

  const again = await call("/api/tasks", { ...body, task_name: "renamed since" });
  expect(again).toMatchObject({ task_id: id, task: { task_name: "old" } });
  expect(again.warnings.at(-1)).toMatchObject({ code: "already-imported", path: "import.source" });
  await ledger.request(`/api/tasks/${id}`, { key, method: "DELETE" });
  expect((await call("/api/tasks", body)).warnings.at(-1).message).toContain("in the trash");
  const other = await ledger.key();
  expect((await call("/api/tasks", body, 200, other.key)).task_id).not.toBe(id);
  // With a client's own key an old run's is not taken for one that has run out.
  const headers = { "Idempotency-Key": "mine" };
  const keyed = async () =>
    (await ledger.call("/api/tasks", { key: other.key, headers, json: body })).task_id;
  expect(await keyed()).toBe(await keyed());
});

it("makes an attempt of an import that names none, and takes no points for other runs", async () => {
  const imported = { source: "runs.csv:1", started_at: "2025-01-02T03:05:00.000Z" };
  const { task_id: id } = await call("/api/tasks", { task_name: "a", import: imported });
  const beat = { seq: 1, logs: logs(1, 20, (n) => n) };
  await call(`/api/tasks/${id}/attempts/1/logs`, beat);
  await settleLogs(ledger.db);
  expect(await call(`/api/tasks/${id}`)).toMatchObject({
    ...{ status: "success", attempt: 1, final_loss: 19.5 },
    attempts: [{ attempt: 1, status: "success", started_at: imported.started_at, points: 20 }],
  });
  const { task_id: live } = await call("/api/tasks", { task_name: "b" });
  await call(`/api/tasks/${live}/attempts/1/logs`, beat, 409);
  await call(`/api/tasks/999/attempts/1/logs`, beat, 404);
  const stranger = await ledger.key();
  await call(`/api/tasks/${id}/attempts/1/logs`, beat, 404, stranger.key);
  await call(`/api/tasks/${id}/attempts/1/logs`, { seq: 2, logs: [] }, 422);
  await call(`/api/tasks/${id}/attempts/0/logs`, beat, 422);
  expect(await ledger.db.all(sql`select task_id from task_attempt`)).toHaveLength(1);
});

it("holds a run whole", async () => {
  const text = "\uFEFFnetwork_dim = 8\r\nlearning_rate = 1e-4\r\n";
  const { task_id: id } = await call("/api/tasks", {
    config: { text, format: "toml", path: "my.toml" },
    dataset_file: { text: "[[datasets]]\n", format: "toml", path: "data.toml" },
    datasets: [{ name: "aki", image_count: 3, tag_distribution: { 中: 2 }, content_hash: "h" }],
    tags: { a: "b" },
  });
  for (const seq of [1, 2])
    await call(`/api/tasks/${id}/heartbeat`, { seq, logs: logs(seq * 10, seq * 10 + 5, (n) => n) });
  await call(`/api/tasks/${id}/finish`, { status: "success" });
  const { files, about } = await archiveOf(id);
  expect([...files.keys()]).toEqual([
    ...["ledger.json", "config/original.toml", "config/dataset", "logs/attempt-1.jsonl"],
  ]);
  expect(files.get("config/original.toml")).toEqual(new TextEncoder().encode(text));
  const { config_snapshot, attempts, field_sources, ...task } = await call(`/api/tasks/${id}`);
  expect(about).toMatchObject({
    ...{ format: "lora-ledger run", version: 1, task, config_snapshot, field_sources },
  });
  expect(about.config).toMatchObject({ path: "my.toml", file: "config/original.toml" });
  expect(about.datasets).toMatchObject([{ name: "aki", tag_distribution: { 中: 2 } }]);
  expect(attempts).toHaveLength(1);
  const segments = new TextDecoder()
    .decode(files.get("logs/attempt-1.jsonl"))
    .split("\n")
    .slice(0, -1)
    .flatMap((line) => JSON.parse(line));
  expect(segments.map(({ q, m }) => [q, m])).toEqual([
    [1, ["loss"]],
    [2, ["loss"]],
  ]);
  expect(segments.flatMap(({ p }) => p)).toHaveLength(12);
  expect((await archiveOf(id)).about.identity).toBe(about.identity);
  await call("/api/tasks/999/archive", undefined, 404);
});

it("stops reading the database when the client goes away", async () => {
  const { task_id: id } = await call("/api/tasks", { task_name: "long" });
  await call(`/api/tasks/${id}/heartbeat`, { seq: 1, logs: logs(1, 1, () => 1) });
  // Chunks that say they are large, so that each is a page of its own.
  await ledger.db.run(sql`
    insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, summary, blocks, points)
    with recursive n(i) as (select 2 union all select i + 1 from n where i < 12)
    select ${id}, 1, i, i, i, i, 1, 3000000, '{}', '{}', '[]' from n`);
  const fetched = vi.spyOn(globalThis, "fetch");
  try {
    const { files } = await archiveOf(id);
    expect(files.has("logs/attempt-1.jsonl")).toBe(true);
    const whole = fetched.mock.calls.length;
    fetched.mockClear();
    const response = await ledger.request(`/api/tasks/${id}/archive`, { key });
    const reader = response.body?.getReader();
    await reader?.read();
    await reader?.cancel();
    await new Promise((done) => setTimeout(done, 300));
    expect(fetched.mock.calls.length).toBeLessThan(whole - 5);
  } finally {
    fetched.mockRestore();
  }
});
