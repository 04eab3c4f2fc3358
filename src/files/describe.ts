/** Facts about a run's files that come after them, as SwanLab's client sends captions. */
import { and, eq, isNull, sql } from "drizzle-orm";
import { reportable } from "../platform/auth/access.ts";
import type { Db } from "../platform/db/client.ts";
import { trainingTask } from "../platform/db/schema.ts";
import type { Auth } from "../platform/http/caller.ts";

export type FileFacts = { filename: string; step: number; prompt: string | null };

/** Notes steps and prompts of a run's files by their names, in one statement. */
export const describeFiles = (db: Db, auth: Auth, taskId: number, facts: FileFacts[]) =>
  db.run(sql`
    update weight set step = f.value ->> 'step', prompt = coalesce(f.value ->> 'prompt', prompt)
    from json_each(${JSON.stringify(facts)}) f
    where weight.task_id = ${taskId} and weight.filename = f.value ->> 'filename' and weight.deleted_at is null
      and exists (select 1 from training_task where ${and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), reportable(auth))})`);
