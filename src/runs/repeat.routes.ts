import { and, eq, isNull, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { taskConfig, trainingTask } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { Auth } from "../platform/http/caller.ts";
import type { App } from "../platform/http/context.ts";
import { base64 } from "../platform/http/encode.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { commandMarks } from "../platform/secrets/marks.ts";
import { hasRedacted } from "../platform/secrets/redact.ts";
import { secretsOf } from "./config.ts";
import { datasetAnswer, selectDatasets } from "./dataset-facts.ts";
import { markAnswer } from "./fields.ts";
import { taskColumns } from "./queries.ts";

/**
 * Whether a box's key other than the caller's registered the task, and so wrote its command: it has
 * run it without the queue, or holds it so. What a box pulls was written by others.
 */
const registeredByBox = (auth: Auth) => {
  const isBox = sql`k.id <> ${auth.keyId} and k.scopes = '["box"]'`;
  return sql<number>`(
    exists (select 1 from api_key k where k.id = ${trainingTask.keyId} and ${trainingTask.agent} is null and ${isBox})
    or exists (select 1 from task_attempt a cross join api_key k on k.id = a.key_id
      where a.task_id = ${trainingTask.id} and a.agent is null and ${isBox}))`;
};

/** Routes for repeating a run: its own file, and everything that it ran with. */
export const repeats = new Hono<App>()
  .get(
    "/:id/config",
    describe({
      summary: "Download the trainer's own file",
      description: "The file as it was registered, byte for byte except for secrets.",
      tag: "Tasks",
      answer: { description: "The file.", content: "application/octet-stream" },
      errors: { 404: "No such task, or the task has no file." },
    }),
    allow("tasks:read", { box: true }),
    validate("param", idParam),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const [row] = await db
        .select({
          original: taskConfig.original,
          format: taskConfig.format,
          path: taskConfig.path,
          sha256: taskConfig.sha256,
        })
        .from(taskConfig)
        .innerJoin(trainingTask, eq(trainingTask.id, taskConfig.taskId))
        .where(
          and(
            eq(taskConfig.taskId, taskId),
            isNull(trainingTask.deletedAt),
            readable(auth),
            sql`${taskConfig.sha256} <> ''`,
          ),
        );
      if (!row) throw notFound("config", { id: taskId });
      return c.body(new Uint8Array(row.original), 200, {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": `attachment; filename="config.${row.format === "text" ? "txt" : row.format}"`,
        "Content-Security-Policy": "sandbox",
        ETag: `"${row.sha256}"`,
      });
    },
  )
  .get(
    "/:id/reproduce",
    describe({
      summary: "Get everything that a repeat needs",
      tag: "Tasks",
      answer: {
        schema: z.object({
          task_id: z.int(),
          own: z.boolean().describe("Whether the caller's user owns the run."),
          from_box: z
            .boolean()
            .describe(
              "Whether the key of another box registered the run, and so wrote its command.",
            ),
          config: z
            .object({
              format: z.string(),
              path: z.string().nullable(),
              sha256: z.string(),
              base64: z.string(),
              secrets: z.array(markAnswer),
            })
            .nullable(),
          dataset_file: z
            .object({
              path: z.string().nullable(),
              base64: z.string(),
              secrets: z.array(markAnswer),
            })
            .nullable()
            .describe("The separate file that lists the data."),
          dialect: z
            .string()
            .nullable()
            .describe("The dialect of somebody's own that the file was read by."),
          command: z.array(z.string()).nullable(),
          command_secrets: z
            .array(markAnswer)
            .describe("Secrets of the command: `at` is the index of a word, from 0."),
          git_commit: z.string().nullable(),
          software: z.json(),
          gpu_info: z.string().nullable(),
          cuda_version: z.string().nullable(),
          base_model: z.string().nullable(),
          datasets: z.array(datasetAnswer),
          redacted: z
            .array(z.string())
            .describe("Places where a secret is missing; a repeat takes it from its environment."),
        }),
        description: "Configuration, command, commit, software, data facts and base model.",
      },
      errors: { 404: "No such task." },
    }),
    allow("tasks:read", { box: true }),
    validate("param", idParam),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const {
        found: [row],
        facts,
      } = await chain(db, {
        found: db
          .select({ task: taskColumns, config: taskConfig, fromBox: registeredByBox(auth) })
          .from(trainingTask)
          .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
          .where(and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), readable(auth))),
        facts: selectDatasets(db, taskId),
      });
      if (!row) throw notFound("task", { id: taskId });
      const { task, config, fromBox } = row;
      const file = config?.sha256 ? config.original : null;
      const data = config?.datasetOriginal ?? null;
      // The mark is ASCII, whatever the file's encoding.
      const holdsMark = (bytes: Uint8Array | null) =>
        bytes !== null && hasRedacted(new TextDecoder("latin1").decode(bytes));
      const secrets = config && secretsOf(config);
      return c.json({
        task_id: task.id,
        own: task.userId === auth.userId,
        from_box: Boolean(fromBox),
        config:
          config && file !== null
            ? {
                format: config.format,
                path: config.path,
                sha256: config.sha256,
                base64: base64(file),
                secrets: secrets?.config ?? [],
              }
            : null,
        dataset_file:
          data === null
            ? null
            : {
                path: config?.datasetPath ?? null,
                base64: base64(data),
                secrets: secrets?.dataset ?? [],
              },
        dialect: config?.dialect ?? null,
        command: task.command,
        command_secrets: commandMarks(task.command ?? []),
        git_commit: task.gitCommit,
        software: task.nodeInfo,
        gpu_info: task.gpuInfo,
        cuda_version: task.cudaVersion,
        base_model: task.baseModelPath,
        datasets: facts.map(toWire),
        redacted: [
          ...(holdsMark(file) ? ["config"] : []),
          ...(holdsMark(data) ? ["dataset_file"] : []),
          ...(hasRedacted(JSON.stringify(task.command ?? [])) ? ["command"] : []),
        ],
      });
    },
  );
