import { and, asc, eq, isNull, sql } from "drizzle-orm";
import { strToU8, Zip, ZipPassThrough } from "fflate";
import { Hono } from "hono";
import * as z from "zod";
import { handedTo } from "../files/uploaders.ts";
import {
  appendPoints,
  boundMetrics,
  prepareAppend,
  readStored,
  warnOfMetrics,
} from "../metrics/append.ts";
import { logEntry, toSegment } from "../metrics/points.ts";
import { type ChunkText, nextChunks, type Place, segmentsBehind } from "../metrics/read.ts";
import { isDue } from "../metrics/sum-up.ts";
import { readable, writable } from "../platform/auth/access.ts";
import { explainRoom, roomFor } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import {
  storedObject,
  taskAttempt,
  taskConfig,
  trainingTask,
  user,
  weight,
} from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { streamOf } from "../platform/http/stream.ts";
import { describe, limitBody, validate } from "../platform/http/validate.ts";
import { attemptColumns, importAttempt, importPoints } from "../runs/attempts.ts";
import { selectDatasets } from "../runs/dataset-facts.ts";
import { taskColumns } from "../runs/queries.ts";
import { unpackSources } from "../runs/sources.ts";
import { noteImportedPoints } from "../runs/states.ts";
import { sumUpClosed, sumUpLater } from "../runs/sum-up-logs.ts";

/** Files that an archive lists; a run with more says so. */
const MOST_WEIGHTS = 5000;

const weightColumns = {
  id: weight.id,
  attempt: weight.attempt,
  kind: weight.kind,
  filename: weight.filename,
  size: weight.size,
  sha256: weight.sha256,
  verified: storedObject.verified,
  epoch: weight.epoch,
  step: weight.step,
  prompt: weight.prompt,
  seed: weight.seed,
  group: weight.group,
  createdAt: weight.createdAt,
};

/** A file of the trainer's, under a name that says what it is. */
const fileOf = (name: string, path: string | null, bytes: Uint8Array | null) =>
  bytes?.length ? { path, file: name, bytes: new Uint8Array(bytes) } : null;

/** An attempt's stored chunks, each a line of JSON as the database has it. */
async function* chunkLines(db: Db, taskId: number, attempt: number) {
  let place: Place = { attempt, arrival: 0 };
  for (;;) {
    const rows = await db.all<ChunkText>(nextChunks(taskId, place, attempt));
    const last = rows.at(-1);
    if (!last) return;
    const { arrival } = place;
    // Only one that took in a chunk which was read before is parsed.
    const lines = rows.map((row) =>
      row.chunk > arrival ? row.points : JSON.stringify(segmentsBehind(row, { attempt, arrival })),
    );
    yield strToU8(lines.map((line) => `${line}\n`).join(""));
    place = last;
  }
}

type ZipFile = [name: string, content: AsyncIterable<Uint8Array> | Uint8Array];

/** Puts named files into a zip, piece by piece. They are stored as they are: packing costs CPU. */
async function* zipFiles(files: ZipFile[]) {
  const made: Uint8Array[] = [];
  const zip = new Zip((error, piece) => {
    if (error) throw error;
    made.push(piece);
  });
  for (const [name, content] of files) {
    const file = new ZipPassThrough(name);
    zip.add(file);
    for await (const piece of content instanceof Uint8Array ? [content] : content) {
      file.push(piece);
      yield* made.splice(0);
    }
    file.push(new Uint8Array(), true);
  }
  zip.end();
  yield* made;
}

export const archive = new Hono<App>()
  .get(
    "/:id/archive",
    describe({
      summary: "Download a run as one file",
      description:
        "A zip that `lora-ledger import` reads into another ledger: `ledger.json` (the task, its attempts, data facts and the list of its files with their hashes), the trainer's own files byte for byte, and every log point in `logs/attempt-N.jsonl`, one line per chunk: `[{q: heartbeat, m: [metric, …], p: [[step, epoch, ms since 1970, value, …], …]}, …]`.",
      tag: "Tasks",
      answer: { description: "The zip, streamed.", content: "application/zip" },
      errors: { 404: "No such task." },
    }),
    allow("tasks:read", { box: true }),
    validate("param", idParam),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const {
        found: [row],
        attempts,
        facts,
        weights,
        counted: [counted],
      } = await chain(db, {
        found: db
          .select({
            task: taskColumns,
            config: taskConfig,
            user: user.name,
            made: trainingTask.registrationHash,
          })
          .from(trainingTask)
          .innerJoin(user, eq(user.id, trainingTask.userId))
          .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
          .where(and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), readable(auth))),
        attempts: db
          .select(attemptColumns)
          .from(taskAttempt)
          .where(eq(taskAttempt.taskId, taskId))
          .orderBy(asc(taskAttempt.attempt)),
        facts: selectDatasets(db, taskId),
        weights: db
          .select(weightColumns)
          .from(weight)
          .innerJoin(storedObject, eq(storedObject.id, weight.objectId))
          .where(
            sql`${weight.taskId} = ${taskId} and weight.state = 'complete' and deleted_at is null and ${handedTo(auth)}`,
          )
          .orderBy(asc(weight.id))
          .limit(MOST_WEIGHTS),
        counted: db.all<{ count: number }>(
          sql`select count(*) as count from weight where task_id = ${taskId} and state = 'complete' and deleted_at is null and ${handedTo(auth)}`,
        ),
      });
      if (!row) throw notFound("task", { id: taskId });
      const { task, config, made } = row;
      const format = config?.format === "text" ? "txt" : (config?.format ?? "txt");
      const own = fileOf(
        `config/original.${format}`,
        config?.path ?? null,
        config?.original ?? null,
      );
      const data = fileOf(
        "config/dataset",
        config?.datasetPath ?? null,
        config?.datasetOriginal ?? null,
      );
      const named = (file: typeof own) => file && { path: file.path, file: file.file };
      const about = {
        format: "lora-ledger run",
        version: 1,
        // The same for every archive of this run, also after an import into another ledger.
        identity: task.importSource?.startsWith("archive:")
          ? task.importSource.slice("archive:".length)
          : (await sha256Hex(`${taskId} ${task.createdAt} ${made}`)).slice(0, 40),
        exported_at: new Date().toISOString(),
        user: row.user,
        task: toWire(task),
        config: own && { ...named(own), format: config?.format, sha256: config?.sha256 },
        dataset_file: named(data),
        config_snapshot: config?.snapshot ?? null,
        dialect: config?.dialect ?? null,
        field_sources: unpackSources(config?.sources ?? null, task.defaultedFields),
        attempts: attempts.map((attempt) => ({
          ...toWire(attempt),
          logs: attempt.points ? `logs/attempt-${attempt.attempt}.jsonl` : null,
        })),
        datasets: facts.map(toWire),
        weights: weights.map(toWire),
        weights_count: counted?.count ?? 0,
      };
      const files: ZipFile[] = [
        ["ledger.json", strToU8(JSON.stringify(about, null, 1))],
        ...[own, data].flatMap((file): ZipFile[] => (file ? [[file.file, file.bytes]] : [])),
        ...about.attempts.flatMap(({ attempt, logs }): ZipFile[] =>
          logs ? [[logs, chunkLines(db, taskId, attempt)]] : [],
        ),
      ];
      return c.body(streamOf(zipFiles(files)), 200, {
        "Content-Type": "application/zip",
        "Content-Disposition": `attachment; filename="run-${taskId}.zip"`,
      });
    },
  )
  .post(
    "/:id/attempts/:attempt/logs",
    describe({
      summary: "Add log points to an imported run",
      description:
        "Stores the points of a past attempt, as heartbeats do for a running one. `seq` counts up from 1 in each attempt; a number at or below the last one changes nothing.",
      tag: "Logs",
      answer: {
        schema: z.object({
          attempt: z.int(),
          last_seq: z.int(),
          warnings: z
            .array(z.object({ code: z.string(), message: z.string(), path: z.string() }))
            .optional(),
        }),
        description: "The highest number received.",
        example: { attempt: 1, last_seq: 12 },
      },
      errors: {
        403: "`over-limit`: the run's user has reached a bound.",
        404: "You own no such task.",
        409: "The task was not imported, or has no such attempt.",
        413: "The body is over 1 MB.",
      },
    }),
    allow("tasks:write", { box: true }),
    limitBody(1_000_000),
    validate("param", idParam.extend({ attempt: z.coerce.number().int().min(1).max(1000) })),
    validate(
      "json",
      z.strictObject({
        seq: z.int().min(1).max(1_000_000_000),
        logs: z.array(logEntry).min(1).max(5000),
      }),
      ["logs"],
    ),
    async (c) => {
      const { id: taskId, attempt } = c.req.valid("param");
      const { seq, logs } = c.req.valid("json");
      const { db, auth, config } = c.var;
      const whole = toSegment(logs);
      const mine = and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), writable(auth));
      // A box that was given the run later adds nothing to what others made of it.
      const others = auth.box
        ? sql`exists (select 1 from task_attempt a where a.task_id = training_task.id and a.attempt = ${attempt} and a.key_id is not ${auth.keyId})`
        : sql`false`;
      const past = sql`(training_task.import_source is not null and ${attempt} <= max(training_task.attempt, 1) and not ${others})`;
      const stored = await readStored(db, taskId, sql`${attempt}`);
      const { segment, dropped } = boundMetrics(whole, stored, config.MAX_METRICS);
      const append = prepareAppend(segment, config.MAX_METRICS, stored);
      const more = { database_bytes: append?.size ?? 0 };
      const room = roomFor(config, sql`training_task.user_id`, more);
      const {
        current: [task],
      } = await chain(db, {
        attempt: importAttempt(db, and(mine, past), { keyId: auth.keyId, attempt }),
        ...(append && {
          recorded: importPoints(db, { taskId, attempt, seq }, append, and(mine, past, room)),
          points: ifChanged("recorded", (accepted) =>
            appendPoints(db, append, { taskId, attempt, seq }, accepted),
          ),
          // The figures drawn from points are settled by the scheduled job.
          noted: ifChanged("points", (added) =>
            noteImportedPoints(db, and(mine, past, added), { attempt, lastStep: append.lastStep }),
          ),
        }),
        current: db
          .select({
            imported: sql<number>`${past}`,
            lastSeq: taskAttempt.lastSeq,
            userId: trainingTask.userId,
          })
          .from(trainingTask)
          .leftJoin(
            taskAttempt,
            and(eq(taskAttempt.taskId, trainingTask.id), eq(taskAttempt.attempt, attempt)),
          )
          .where(mine),
      });
      if (!task) throw notFound("own-task", { id: taskId });
      if (!task.imported) throw refuse("not-imported", { task: taskId, attempt });
      const lastSeq = task.lastSeq ?? 0;
      if (append && lastSeq < seq) {
        const full = await explainRoom(db, config, task.userId, more);
        if (full) throw full;
        throw refuse("busy", { case: "points" }, { headers: { "Retry-After": "1" } });
      }
      if (append && isDue(seq, append)) sumUpLater(c, sumUpClosed(db, taskId, attempt));
      return c.json({
        ...{ attempt, last_seq: lastSeq },
        ...(dropped.length && { warnings: [warnOfMetrics(dropped, config.MAX_METRICS)] }),
      });
    },
  );
