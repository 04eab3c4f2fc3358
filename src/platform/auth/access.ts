import { eq, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import { trainingTask } from "../db/schema.ts";
import type { Auth } from "../http/caller.ts";

/** A condition that holds for everybody but admins, who are free of it. */
export const unlessAdmin = ({ role }: Pick<Auth, "role">, condition: SQL): SQL =>
  role === "admin" ? sql`true` : condition;

/** The condition that a row is the caller's own, by the column of its user, or the caller an admin. */
export const owns = (auth: Pick<Auth, "role" | "userId">, owner: SQLWrapper): SQL =>
  unlessAdmin(auth, sql`${owner} = ${auth.userId}`);

/*
 * A box key reaches the runs that it holds: `training_task.key_id` names the key that registered or
 * claimed a run last, until somebody takes the run away. What happens to a run, and what is left of
 * it to the box's key:
 *
 * | event                                         | key_id     | the box's key afterwards                  |
 * |-----------------------------------------------|------------|-------------------------------------------|
 * | the box registers it, or claims it            | the box's  | reads, reports, opens attempts            |
 * | its lease ends (lost: failed or pending)      | stays      | the same: a heartbeat takes it back       |
 * | the box ends it (success, failed, Ctrl-C)     | stays      | the same: tries again what failed         |
 * | the box gives it back (preempted, pending)    | null       | closing                                   |
 * | a person cancels it while it runs             | stays      | the same, but opens no attempt            |
 * | … and its end comes, or its lease ends        | null       | closing                                   |
 * | a person cancels it while it waits            | null       | closing                                   |
 * | … before anybody has begun it                 | stays      | the same, but opens no attempt            |
 * | a person requeues it, or retries it as queued | null       | nothing: `superseded`                     |
 * | a person retries what no queue gave           | stays      | the same: it is begun by hand             |
 * | another key claims it or opens an attempt     | that key's | nothing: `superseded`                     |
 *
 * Closing: while the attempt that the box ran is the run's last, its key reads the run, brings the
 * points and files that are missing and reports the end, but begins nothing: see ranLast(). A later
 * attempt of another key leaves nothing but the answer `superseded`: see reportedOnce().
 */

/** Whether the caller's key holds the task: it registered or claimed it, and nobody took it away. */
const holds = (auth: Auth): SQL => eq(trainingTask.keyId, auth.keyId);

/** Whether the caller's key ran the task's last attempt: a box may bring what it still has of it. */
const ranLast = (auth: Auth): SQL =>
  sql`exists (select 1 from task_attempt mine where mine.task_id = ${trainingTask.id}
    and mine.attempt = max(${trainingTask.attempt}, 1) and mine.key_id = ${auth.keyId})`;

/** The condition under which a caller may see a task; belongs in the same `where` as its id. */
export const readable = (auth: Auth): SQL =>
  auth.box ? sql`(${holds(auth)} or ${ranLast(auth)})` : sql`true`;

/** The condition under which a caller may report on a task: what it may change, or has run last. */
export const reportable = (auth: Auth): SQL =>
  auth.box ? readable(auth) : sql`(${writable(auth)} or ${holds(auth)})`;

/** Whether the caller's key once ran an attempt of the task: the answer is `superseded`, no more. */
export const reportedOnce = (auth: Auth): SQL =>
  sql`exists (select 1 from task_attempt once where once.task_id = ${trainingTask.id} and once.key_id = ${auth.keyId})`;

/** The condition under which a caller may change a task. */
export const writable = (auth: Auth): SQL =>
  auth.box ? holds(auth) : owns(auth, trainingTask.userId);
