import { and, inArray, isNull, type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import type { Statement } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { ApiError } from "../platform/http/problem.ts";
import { notValid } from "../platform/http/validate.ts";

const label = z
  .string()
  .trim()
  .toLowerCase()
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N}._:/+=@-]{0,99}$/u,
    "must be one word of letters, digits and ._:/+=@-",
  );

/** Labels in the one spelling that they are compared in: lower case, sorted, each once. */
export const labelsOf = (most: number) =>
  z
    .array(label)
    .max(most)
    .overwrite((labels) => [...new Set(labels)].sort());

const options = {
  priority: z
    .int()
    .min(-1_000_000)
    .max(1_000_000)
    .describe("Tasks of one user with a higher priority run first; default 0."),
  labels: labelsOf(20).describe("Labels that a box must have, all of them; default none."),
  min_gpu_memory_gb: z
    .number()
    .min(0)
    .max(10_000)
    .describe("Least memory of the box's GPU; default 0. A GPU may report up to 7 % less."),
  max_attempts: z
    .int()
    .min(1)
    .max(100)
    .describe("After how many lost boxes it fails for good; default 3."),
  not_before: z.iso
    .datetime({ offset: true })
    .nullable()
    .describe("Boxes pull the task only after this time, by the database's clock, to the minute."),
};

/** Options that a change of a queued task may name; the others stay as they are. */
export const queueChange = z.strictObject({
  priority: options.priority.optional(),
  labels: options.labels.optional(),
  min_gpu_memory_gb: options.min_gpu_memory_gb.optional(),
  max_attempts: options.max_attempts.optional(),
  not_before: options.not_before.optional(),
});
export type QueueChange = z.infer<typeof queueChange>;

/** `queue` of a registration: makes a task that boxes may pull. */
export const queueOptions = queueChange.extend({
  depends_on: z
    .array(z.int().min(1))
    .max(50)
    .overwrite((ids) => [...new Set(ids)])
    .default([])
    .describe(
      "Tasks that must succeed first. They must exist already, so a circle is impossible. If one of them fails or is cancelled, this task waits until it is retried.",
    ),
});
export type QueueOptions = z.infer<typeof queueOptions>;

/** Defaults of queue options that neither the request nor the task names. */
const defaults = {
  priority: 0,
  labels: [] as string[],
  min_gpu_memory_gb: 0,
  max_attempts: 3,
};

/** Memory in whole GB, so that few lanes hold all tasks. */
const wholeGb = (gb: number) => Math.ceil(gb);

/** `not_before` as it is kept; as an open condition; and as the number of conditions that it is. */
function notBefore(time: string | null | undefined) {
  const at = time ? new Date(time).toISOString() : null;
  return {
    at,
    dueAt: sql<string | null>`case when ${at} > ${now} then ${at} end`,
    open: sql<number>`coalesce(${at} > ${now}, 0)`,
  };
}

/** Marks a task whose dependencies do not all exist; the same batch deletes it. */
const UNKNOWN_DEPENDENCY = -1000;

/** How many of these tasks have yet to succeed; far below 0 when one of them does not exist. */
const openDependencies = (ids: number[]): SQL =>
  ids.length === 0
    ? sql`0`
    : sql`(select iif(count(*) < ${ids.length}, ${UNKNOWN_DEPENDENCY}, total(d.status <> 'success'))
        from training_task d where d.deleted_at is null and d.id in (${sql.join(ids, sql`, `)}))`;

/** A new task's columns of the queue. */
export function queueColumns(queue: QueueOptions) {
  const { at, dueAt, open } = notBefore(queue.not_before);
  const maxAttempts = queue.max_attempts ?? defaults.max_attempts;
  return {
    priority: queue.priority ?? defaults.priority,
    labels: queue.labels ?? defaults.labels,
    minGpuMemoryGb: wholeGb(queue.min_gpu_memory_gb ?? defaults.min_gpu_memory_gb),
    maxAttempts,
    attemptLimit: maxAttempts,
    notBefore: at,
    queueDueAt: dueAt,
    queueWaiting: sql<number>`${openDependencies(queue.depends_on)} + ${open}`,
  };
}

/** How a change of what boxes a task waits for alters its columns; what it does not say stays, or takes its default. */
export function changeQueueColumns(change: QueueChange) {
  const { at, dueAt, open } = notBefore(change.not_before);
  const memory = change.min_gpu_memory_gb;
  const kept = <T>(said: T | undefined, column: SQL, otherwise: T) =>
    sql<T>`coalesce(${said ?? null}, ${column}, ${otherwise})`;
  const maxAttempts = kept(change.max_attempts, sql`max_attempts`, defaults.max_attempts);
  return {
    priority: kept(change.priority, sql`priority`, defaults.priority),
    labels: sql`coalesce(${change.labels ? JSON.stringify(change.labels) : null}, labels, ${JSON.stringify(defaults.labels)})`,
    minGpuMemoryGb: kept(
      memory === undefined ? undefined : wholeGb(memory),
      sql`min_gpu_memory_gb`,
      defaults.min_gpu_memory_gb,
    ),
    maxAttempts,
    // One that waits keeps the attempts it has left; any other begins to count with its next.
    attemptLimit: sql<number>`case
      when status = 'pending' and queue_waiting is not null then attempt_limit - max_attempts + ${maxAttempts}
      when status = 'pending' then max(attempt, 1) - 1 + ${maxAttempts}
      else attempt + ${maxAttempts} end`,
    notBefore: change.not_before === undefined ? undefined : at,
    queueDueAt: change.not_before === undefined ? undefined : dueAt,
    queueWaiting: sql<number>`(select count(*) from task_dependency d where d.task_id = training_task.id and d.met = 0)
      + ${change.not_before === undefined ? sql`(queue_due_at is not null)` : open}`,
  };
}

/**
 * Notes what a task just registered waits for; a task whose dependencies do not all exist goes
 * again, so that the batch leaves nothing of it.
 */
export function dependencyStatements(db: Db, registrationKey: string, ids: number[]): Statement[] {
  if (ids.length === 0) return [];
  return [
    db.delete(trainingTask).where(sql`registration_key = ${registrationKey} and queue_waiting < 0`),
    db.run(sql`
      insert into task_dependency (depends_on, task_id, met)
      select d.id, t.id, d.status = 'success'
      from training_task t cross join training_task d
      where t.registration_key = ${registrationKey} and d.id in (${sql.join(ids, sql`, `)})
      on conflict do nothing`),
  ];
}

/** The refusal of a registration some of whose dependencies are not there. */
export async function unknownDependencies(db: Db, ids: number[]): Promise<ApiError> {
  const known = await db
    .select({ id: trainingTask.id })
    .from(trainingTask)
    .where(and(inArray(trainingTask.id, ids), isNull(trainingTask.deletedAt)));
  const there = new Set(known.map(({ id }) => id));
  return notValid(
    ids
      .filter((id) => !there.has(id))
      .map((id) => ({ path: "queue.depends_on", message: `there is no task ${id}` })),
    "The registration",
  );
}
