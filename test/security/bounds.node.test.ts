// The migration that begins to count by user, on a database with rows of before.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@libsql/client/http";
import { expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { startSqld } from "../../scripts/local/sqld.ts";
import { migrate } from "../../scripts/migrate.ts";

const { entries } = JSON.parse(readFileSync(join(root, "migrations/meta/_journal.json"), "utf8"));
/** How many migrations come before it. */
const before = entries.findIndex(({ tag }: { tag: string }) => tag.endsWith("_bounds-by-user"));

it("counts what was there, exactly as it counts what comes", async () => {
  const dataDir = mkdtempSync(join(tmpdir(), "lora-ledger-bounds-"));
  const sqld = await startSqld({ dataDir });
  const client = createClient({ url: sqld.url });
  const use = async () =>
    (await client.execute("select * from user_use order by user_id")).rows.map((row) => ({
      ...row,
    }));
  try {
    expect(before).toBeGreaterThan(0);
    await migrate(sqld.url, undefined, before);
    const task = (id: number, user: number, notes: string) =>
      `insert into training_task (id, user_id, task_name, registration_key, registration_hash, notes, tags)
       values (${id}, ${user}, 't', 'k${id}', 'h', '${notes}', '{"a":"ä"}')`;
    await client.migrate([
      "insert into user (id, name) values (1, 'anna'), (2, 'bert')",
      task(1, 1, "night"),
      task(2, 1, "day"),
      task(3, 2, "夜"),
      `insert into task_attempt (task_id, attempt, status, bytes, open_size, tail) values
       (1, 1, 'failed', 5000, 900, 'tail'), (1, 2, 'running', 4000, 900, 'tail'), (3, 1, 'running', 200000, 150000, null)`,
      `insert into stored_object (id, object_key, task_id, size, sha256, state, verified, metadata) values
       (1, 'w/1/a', 1, 70, 'x', 'complete', 'sha256', '{"m":"1"}'), (2, 'w/1/b', 1, 30, 'y', 'uploading', null, null), (3, 'w/3/c', 3, 9, 'z', 'aborted', null, null)`,
      `insert into weight (task_id, attempt, object_id, kind, filename, size, sha256, state, prompt) values
       (1, 1, 1, 'final', 'a', 70, 'x', 'complete', 'a cat'), (1, 1, 2, 'final', 'b', 30, 'y', 'uploading', null)`,
      "insert into dataset (id, hash, created_at) values (1, 'used', '2020-01-01'), (2, 'unused', '2020-01-01')",
      "insert into task_dataset (task_id, dataset_id, name) values (1, 1, 'd'), (2, 1, 'd')",
    ]);
    await migrate(sqld.url);
    const after = await use();
    expect(after).toMatchObject([
      { user_id: 1, tasks: 2, files: 2, file_bytes: 70, uploads: 1, upload_bytes: 30 },
      { user_id: 2, tasks: 1, files: 0, file_bytes: 0, uploads: 1, upload_bytes: 9 },
    ]);
    const { rows } = await client.execute("select id, links from dataset order by id");
    expect(rows.map(({ links }) => links)).toEqual([2, 0]);
    const links = await client.execute("select * from task_dataset order by task_id");
    expect(links.rows).toHaveLength(2);
    // The same rows written again, now that triggers count them, come to the same.
    await client.migrate([
      "insert into user (id, name) values (11, 'a'), (12, 'b')",
      task(11, 11, "night"),
      task(12, 11, "day"),
      task(13, 12, "夜"),
      `insert into task_attempt (task_id, attempt, status, bytes, open_size, tail)
       select task_id + 10, attempt, 'running', 0, 0, null from task_attempt`,
      `update task_attempt set (status, bytes, open_size, tail) = (
         select o.status, o.bytes, o.open_size, o.tail from task_attempt o where o.task_id = task_attempt.task_id - 10 and o.attempt = task_attempt.attempt)
       where task_id > 10`,
      `insert into stored_object (id, object_key, task_id, user_id, size, sha256)
       select id + 10, object_key || '+', task_id + 10, user_id + 10, size, sha256 from stored_object`,
      `update stored_object set (state, verified, metadata) = (
         select o.state, o.verified, o.metadata from stored_object o where o.id = stored_object.id - 10) where id > 10`,
      `insert into weight (task_id, attempt, object_id, kind, filename, size, sha256, prompt)
       select task_id + 10, attempt, object_id + 10, kind, filename, size, sha256, prompt from weight`,
      "update weight set state = 'complete' where task_id > 10 and filename = 'a'",
    ]);
    const both = await use();
    const less = (row: Record<string, unknown>) => ({ ...row, user_id: Number(row.user_id) - 10 });
    expect(both.slice(2).map(less)).toEqual(both.slice(0, 2));
    // What goes is taken off, in whatever order its rows go.
    await client.migrate([
      "delete from training_task where id > 10",
      "delete from task_attempt where task_id > 10",
      "delete from weight where task_id > 10",
      "delete from stored_object where id > 10",
    ]);
    for (const row of (await use()).slice(2))
      expect({ ...row, user_id: 0 }).toEqual({
        user_id: 0,
        tasks: 0,
        bytes: 0,
        files: 0,
        file_bytes: 0,
        uploads: 0,
        upload_bytes: 0,
      });
  } finally {
    client.close();
    await sqld.stop();
    rmSync(dataDir, { recursive: true, force: true });
  }
});
