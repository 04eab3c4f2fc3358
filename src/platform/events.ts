import { type SQL, sql } from "drizzle-orm";
import type { Db } from "./db/client.ts";
import type { eventKinds, eventSubjects } from "./db/schema.ts";

export type EventKind = (typeof eventKinds)[number];

/**
 * A statement that records events, for the batch of the change they are about. `rows` selects, in
 * this order: the subject's id, its attempt (0 where it has none), user_id, experiment_group, name,
 * detail (a JSON object or null) and occasion ('' unless the fact may repeat), with the condition
 * that the change really happened. What is recorded already is not recorded again, so
 * the present state is condition enough. `rowsAffected` says how many are new; RETURNING would read rows.
 */
export const recordEvent = (
  db: Db,
  kind: EventKind,
  subject: (typeof eventSubjects)[number],
  rows: SQL,
) =>
  db.run(sql`
    insert into event (subject_id, attempt, user_id, experiment_group, name, detail, occasion, kind, subject)
    select fact.*, ${kind}, ${subject} from (${rows}) as fact where true
    on conflict do nothing`);

/** recordEvent for the tasks that meet `where`, in their current attempt. */
export const taskEvent = (db: Db, kind: EventKind, where: SQL | undefined, detail = sql`null`) =>
  recordEvent(
    db,
    kind,
    "task",
    sql`select id, attempt, user_id, experiment_group, task_name, ${detail}, '' from training_task where ${where}`,
  );
