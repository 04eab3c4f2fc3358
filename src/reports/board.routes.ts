import { and, desc, eq, isNull, sql } from "drizzle-orm";
import { Hono } from "hono";
import { etag } from "hono/etag";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { storageTotal, taskAttempt, trainingTask, usageDay, user } from "../platform/db/schema.ts";
import { ago } from "../platform/db/time.ts";
import { ONE_OF } from "../platform/db/usage.ts";
import type { App } from "../platform/http/context.ts";
import { describe } from "../platform/http/validate.ts";

/** How many of each the board shows; a ledger with more goes on by the table of runs. */
const MOST = 100;
/** How far back it looks for what ended in the last 24 hours. */
const MOST_ENDED = 300;
const TAIL_CHARACTERS = 1200;

const shown = z.object({
  id: z.int(),
  task_name: z.string(),
  user: z.string(),
  experiment_group: z.string().nullable(),
  gpu_info: z.string().nullable(),
  hostname: z.string().nullable(),
  started_at: z.string().nullable(),
  finished_at: z.string().nullable(),
  heartbeat_at: z.string().nullable(),
  progress: z.json(),
  status: z.string(),
  failure_reason: z.string().nullable(),
  error_message: z.string().nullable(),
});

const columns = {
  id: trainingTask.id,
  task_name: trainingTask.taskName,
  user: user.name,
  experiment_group: trainingTask.experimentGroup,
  gpu_info: trainingTask.gpuInfo,
  hostname: sql<string | null>`(${trainingTask.nodeInfo} ->> '$.hostname')`,
  started_at: trainingTask.startedAt,
  finished_at: trainingTask.finishedAt,
  heartbeat_at: trainingTask.heartbeatAt,
  progress: trainingTask.progress,
  status: trainingTask.status,
  failure_reason: trainingTask.failureReason,
  error_message: trainingTask.errorMessage,
};

/** As the index of states gives them, so that a list stops where it is full. */
const newestFirst = [desc(trainingTask.createdAt), desc(trainingTask.id)];

const yesterday = ago(1, "days");

export const board = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "What runs, waits and failed",
      description: `Runs under way, what waits, and what ended in the last 24 hours, failures with their last lines. Up to ${MOST} of each. With If-None-Match 304 while nothing has changed.`,
      tag: "Tasks",
      answer: {
        schema: z.object({
          running: z.array(shown),
          waiting: z.array(shown),
          failed: z.array(shown.extend({ tail: z.string().nullable() })),
          succeeded: z.int().describe("Runs that ended well in the last 24 hours."),
          cancelled: z.int(),
        }),
        description: "The board.",
      },
      errors: { 304: "Nothing has changed." },
    }),
    allow("tasks:read"),
    etag({ weak: true }),
    async (c) => {
      const { db } = c.var;
      const having = (status: "running" | "pending" | "failed") =>
        and(eq(trainingTask.status, status), isNull(trainingTask.deletedAt));
      const listed = (status: "running" | "pending") =>
        db
          .select(columns)
          .from(trainingTask)
          .innerJoin(user, eq(user.id, trainingTask.userId))
          .where(having(status))
          .orderBy(...newestFirst)
          .limit(MOST);
      // The index of states goes by creation, not by end: a bounded stretch of the newest is looked at.
      const endedAs = (status: "success" | "cancelled") =>
        db.all<{ count: number }>(sql`
          select count(*) as count from (select finished_at from training_task
            where status = ${status} and deleted_at is null order by created_at desc, id desc limit ${MOST_ENDED})
          where finished_at >= ${yesterday}`);
      const newest = db
        .select({ id: trainingTask.id })
        .from(trainingTask)
        .where(having("failed"))
        .orderBy(...newestFirst)
        .limit(MOST_ENDED);
      const {
        running,
        waiting,
        failed,
        succeeded: [succeeded],
        cancelled: [cancelled],
      } = await chain(db, {
        running: listed("running"),
        waiting: listed("pending"),
        failed: db
          .select({
            ...columns,
            tail: sql<
              string | null
            >`substr(${taskAttempt.tail}, -${sql.raw(`${TAIL_CHARACTERS}`)})`,
          })
          .from(trainingTask)
          .innerJoin(user, eq(user.id, trainingTask.userId))
          .leftJoin(
            taskAttempt,
            and(
              eq(taskAttempt.taskId, trainingTask.id),
              eq(taskAttempt.attempt, trainingTask.attempt),
            ),
          )
          .where(
            and(
              sql`${trainingTask.id} in (${newest})`,
              sql`${trainingTask.finishedAt} >= ${yesterday}`,
            ),
          )
          .orderBy(desc(trainingTask.finishedAt))
          .limit(MOST),
        succeeded: endedAs("success"),
        cancelled: endedAs("cancelled"),
      });
      return c.json({
        running,
        waiting,
        failed,
        succeeded: succeeded?.count ?? 0,
        cancelled: cancelled?.count ?? 0,
      });
    },
  )
  .get(
    "/usage",
    describe({
      summary: "What the ledger uses",
      description: `Requests a day as the service counts them (a little low: an isolate writes its count once a minute), the rows that they read and wrote, and what is stored. Where cost reporting is off, rows are counted of one request in ${ONE_OF}, and stand for all. What the scheduled job and alerts cost is not in it.`,
      tag: "Service",
      answer: {
        schema: z.object({
          days: z
            .array(
              z.object({
                day: z.string(),
                requests: z.int(),
                rows_read: z.int(),
                rows_written: z.int(),
              }),
            )
            .describe("The last 31 days that had any, newest first."),
          rows_estimated: z
            .boolean()
            .describe(`true: drawn from one request in ${ONE_OF}, so about right over a day.`),
          database_bytes: z.int().nullable().describe("null: the database does not tell."),
          bucket_bytes: z.int(),
          bucket_objects: z.int(),
          by_kind: z.array(z.object({ kind: z.string(), files: z.int(), bytes: z.int() })),
        }),
        description: "Use.",
      },
    }),
    allow("tasks:read"),
    async (c) => {
      const { db, config } = c.var;
      const pages = db
        .all<{ bytes: number }>(
          sql`select page_count * page_size as bytes from pragma_page_count(), pragma_page_size()`,
        )
        // Some hosted databases answer no pragmas; the page then says so.
        .catch(() => []);
      const [
        {
          days,
          kinds,
          stored: [stored],
        },
        [size],
      ] = await Promise.all([
        chain(db, {
          days: db
            .select({
              day: usageDay.day,
              requests: usageDay.requests,
              rows_read: usageDay.rowsRead,
              rows_written: usageDay.rowsWritten,
            })
            .from(usageDay)
            .orderBy(desc(usageDay.day))
            .limit(31),
          kinds: db.all<{ kind: string; files: number; bytes: number }>(sql`
            select kind, sum(files) as files, sum(bytes) as bytes from storage_use
            group by kind having sum(files) > 0 order by bytes desc`),
          stored: db
            .select({ objects: storageTotal.objects, bytes: storageTotal.bytes })
            .from(storageTotal),
        }),
        pages,
      ]);
      c.header("Cache-Control", "private, max-age=60");
      return c.json({
        days,
        rows_estimated: !config.COST_REPORTING,
        database_bytes: size?.bytes ?? null,
        bucket_bytes: stored?.bytes ?? 0,
        bucket_objects: stored?.objects ?? 0,
        by_kind: kinds,
      });
    },
  );
