/*
 * Settings that come after their run was registered, as some trackers' clients send them.
 */
import { and, eq, getTableColumns, isNull, sql } from "drizzle-orm";
import { reportable } from "../platform/auth/access.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { fromWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { readByStored } from "./dialects.ts";
import { type NewTask, toRow } from "./register.ts";
import { packSources } from "./sources.ts";

/**
 * Adds settings to a run that was registered without any: the file, and what it says where the run's own
 * columns are empty. Does nothing where the run has settings, or is not the caller's to report on.
 */
export async function addSettings(
  { db, auth }: Pick<App["Variables"], "db" | "auth">,
  taskId: number,
  input: NewTask,
): Promise<void> {
  const read = await readByStored(db, auth, input);
  const { columns, snapshot, sources, path } = toRow(read);
  const { file } = read;
  if (!file?.bytes) return;
  const { task_name: _, ...found } = columns;
  const known = getTableColumns(trainingTask);
  const filled = Object.entries(fromWire<Record<string, unknown>>(found)).flatMap(
    ([name, value]) => {
      const column = known[name as keyof typeof known];
      return column ? [[name, sql`coalesce(${column}, ${sql.param(value, column)})`] as const] : [];
    },
  );
  const packed = packSources(sources);
  await chain(db, {
    config: db.run(sql`
      insert into task_config (task_id, format, path, sha256, snapshot, original, secrets, sources)
      select id, ${file.recognition.format ?? "json"}, ${path}, ${file.sha256},
        ${snapshot === null ? null : JSON.stringify(snapshot)}, ${file.bytes},
        ${file.secrets ? JSON.stringify(file.secrets) : null}, ${packed ? JSON.stringify(packed) : null}
      from training_task
      where ${and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), reportable(auth))}
      on conflict do nothing`),
    columns: ifChanged("config", (changed) =>
      db
        .update(trainingTask)
        .set({
          ...Object.fromEntries(filled),
          recordBytes: sql`record_bytes + ${file.bytes?.length ?? 0}`,
        })
        .where(and(eq(trainingTask.id, taskId), changed)),
    ),
  });
}
