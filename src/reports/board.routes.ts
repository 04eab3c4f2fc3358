import { and, desc, eq, isNull, sql } from "drizzle-orm";
import { Hono } from "hono";
import { etag } from "hono/etag";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { storageTotal, taskAttempt, trainingTask, usageDay, user } from "../platform/db/schema.ts";
import { ago } from "../platform/db/time.ts";
import { ONE_OF } from "../platform/db/usage.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { describe } from "../platform/http/validate.ts";

/** Runs of each state on the board; the table of runs shows all. */
const MOST = 100;
/** How far back it looks for what ended in the last 24 hours. */
const MOST_ENDED = 300;
const TAIL_CHARACTERS = 1200;

const boardRow = z.object({
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
  queued: z
    .boolean()
    .describe("Whether the run was put into the queue: a retry leads it there again."),
});

const columns = {
  id: trainingTask.id,
  taskName: trainingTask.taskName,
  user: user.name,
  experimentGroup: trainingTask.experimentGroup,
  gpuInfo: trainingTask.gpuInfo,
  hostname: sql<string | null>`(${trainingTask.nodeInfo} ->> '$.hostname')`,
  startedAt: trainingTask.startedAt,
  finishedAt: trainingTask.finishedAt,
  heartbeatAt: trainingTask.heartbeatAt,
  progress: trainingTask.progress,
  status: trainingTask.status,
  failureReason: trainingTask.failureReason,
  errorMessage: trainingTask.errorMessage,
  queued: sql<boolean>`priority is not null`.mapWith(Boolean),
};

/** As the index of states gives them, so that a list stops where it is full. */
const newestFirst = [desc(trainingTask.createdAt), desc(trainingTask.id)];

const yesterday = ago(1, "days");

export const board = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "Show what runs, waits and has ended",
      description: `Lists running and waiting tasks and those that failed in the last 24 hours, with their last console lines, up to ${MOST} of each, and counts those that succeeded or were cancelled. A request with If-None-Match gets 304 while nothing has changed.`,
      tag: "Tasks",
      answer: {
        schema: z.object({
          running: z.array(boardRow),
          waiting: z.array(boardRow),
          failed: z.array(boardRow.extend({ tail: z.string().nullable() })),
          succeeded: z.int().describe("Tasks that succeeded in the last 24 hours."),
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
      // The index of states is ordered by creation, not by end, so a bounded number of the newest runs is read.
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
        running: running.map(toWire),
        waiting: waiting.map(toWire),
        failed: failed.map(toWire),
        succeeded: succeeded?.count ?? 0,
        cancelled: cancelled?.count ?? 0,
      });
    },
  )
  .get(
    "/usage",
    describe({
      summary: "Show the use of the ledger",
      description: `Counts requests per day (slightly low: an isolate writes its count once a minute), the rows that they read and wrote, and stored files and bytes. With cost reporting off, the rows are an estimate from one request in ${ONE_OF}. The numbers leave out the scheduled job and alerts.`,
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
            .describe("The last 31 days with requests, newest first."),
          rows_estimated: z
            .boolean()
            .describe(`true: the rows are an estimate from one request in ${ONE_OF}.`),
          database_bytes: z
            .int()
            .nullable()
            .describe("null: the database does not report its size."),
          bucket_bytes: z.int(),
          bucket_objects: z.int(),
          by_kind: z.array(z.object({ kind: z.string(), files: z.int(), bytes: z.int() })),
        }),
        description: "The use of the ledger.",
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
              rowsRead: usageDay.rowsRead,
              rowsWritten: usageDay.rowsWritten,
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
        days: days.map(toWire),
        rows_estimated: !config.COST_REPORTING,
        database_bytes: size?.bytes ?? null,
        bucket_bytes: stored?.bytes ?? 0,
        bucket_objects: stored?.objects ?? 0,
        by_kind: kinds,
      });
    },
  );
