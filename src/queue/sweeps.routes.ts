import { and, eq, isNull } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { taskConfig, trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { base64 } from "../platform/http/encode.ts";
import { notFound } from "../platform/http/problem.ts";
import { cutText } from "../platform/http/text.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { writableFields } from "../runs/fields.ts";
import { queueOptions } from "../runs/queue-options.ts";
import {
  fileInput,
  fileTexts,
  readRegistration,
  registerTasks,
  registration,
} from "../runs/register.ts";
import type { JsonValue } from "../shared/json.ts";
import { decodeConfig } from "../trainers/decode.ts";
import { ConfigSyntaxError } from "../trainers/formats/fault.ts";
import { MAX_YAML, parseConfig } from "../trainers/parse.ts";
import { findPlaces, type Scalar, writeValues } from "./search-edit.ts";
import { combinations, space } from "./search-space.ts";

/** Tasks that one sweep makes, and bytes of their files together. */
const MOST_TASKS = 200;
const MOST_BYTES = 3_000_000;
/** YAML takes ten times as long to read, and each copy is read again. */
const MOST_YAML_BYTES = 600_000;

const sweepBody = z
  .strictObject({
    config: z
      .strictObject({
        text: z.string().max(500_000),
        format: z.enum(["toml", "yaml", "json"]).optional(),
        path: z.string().max(2000).optional(),
      })
      .optional(),
    base_task_id: z
      .int()
      .min(1)
      .optional()
      .describe("Instead of config: a task whose file is the base configuration."),
    dataset_file: fileInput
      .optional()
      .describe("With `config`: the separate file that lists the data."),
    dialect: registration.shape.dialect.describe("With `config`: the dialect that reads it."),
    parent_task_id: z
      .int()
      .min(1)
      .optional()
      .describe("With `config`: the run that it was made from."),
    space: space.describe(
      "Key → a list of values, or {min, max, log?, int?} to draw from. Keys as `network_dim`, `train.lr`, `process[0].lr`; a bare name is found if the file has it exactly once.",
    ),
    method: z.enum(["grid", "random", "latin-hypercube"]).default("grid"),
    count: z
      .int()
      .min(1)
      .max(MOST_TASKS)
      .optional()
      .describe("The number of tasks to draw; not for a grid."),
    seed: z
      .int()
      .min(0)
      .max(4_294_967_295)
      .default(0)
      .describe("The same seed draws the same values."),
    experiment_group: writableFields.experiment_group.trim().min(1),
    task_name: writableFields.task_name.optional().describe("The beginning of each task's name."),
    command: writableFields.command.optional(),
    tags: writableFields.tags.optional(),
    guard: writableFields.guard.nullish().describe("Default: the base task's."),
    queue: queueOptions.optional().describe("Default: all defaults of the queue."),
    dry_run: z
      .boolean()
      .default(false)
      .describe("true: show the combinations without making tasks."),
  })
  .refine(
    (body) => (body.config === undefined) !== (body.base_task_id === undefined),
    "needs either config or base_task_id",
  )
  .refine(
    (body) =>
      body.base_task_id === undefined ||
      !(body.dataset_file || body.dialect || body.parent_task_id),
    "takes dataset_file, dialect and parent_task_id with config alone",
  );

type Base = {
  text: string;
  format?: "toml" | "yaml" | "json";
  path?: string;
  name?: string;
  command?: string[];
  guard?: JsonValue;
  dataset?: z.infer<typeof fileInput>;
  parent?: number;
  /** The keys whose values the ledger took out of its files. */
  secrets?: string[];
  dialect?: string;
};

/** The file of a task that the caller may read, as the base of a sweep. */
async function baseOf(c: Context<App>, id: number): Promise<Base> {
  const [row] = await c.var.db
    .select({
      name: trainingTask.taskName,
      command: trainingTask.command,
      guard: trainingTask.guard,
      original: taskConfig.original,
      sha256: taskConfig.sha256,
      path: taskConfig.path,
      datasetPath: taskConfig.datasetPath,
      datasetOriginal: taskConfig.datasetOriginal,
      secrets: taskConfig.secrets,
      dialect: taskConfig.dialect,
    })
    .from(trainingTask)
    .innerJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
    .where(and(eq(trainingTask.id, id), isNull(trainingTask.deletedAt), readable(c.var.auth)));
  if (!row?.sha256) throw notFound("config", { id: id });
  const decoded = decodeConfig(new Uint8Array(row.original));
  if (!decoded) throw notValid([{ path: "base_task_id", message: "its file is not a text" }]);
  return {
    text: decoded.text,
    path: row.path ?? undefined,
    name: row.name,
    command: row.command ?? undefined,
    guard: row.guard,
    parent: id,
    dataset: row.datasetOriginal
      ? { base64: base64(new Uint8Array(row.datasetOriginal)), path: row.datasetPath ?? undefined }
      : undefined,
    secrets: row.secrets?.flatMap(({ name, typed }) => (typed ? [] : [name])),
    dialect: row.dialect ?? undefined,
  };
}

/** A base's format and values. Throws ApiError 422 on a broken one. */
function readBase({ text, format, path }: Base) {
  try {
    return parseConfig(text, format, path);
  } catch (error) {
    if (!(error instanceof ConfigSyntaxError)) throw error;
    throw notValid([{ path: "config", message: error.message }], "The sweep");
  }
}

export const sweeps = new Hono<App>().post(
  "/",
  describe({
    summary: "Make the tasks of a sweep",
    description:
      "Makes one task for each combination, in one experiment group and in one batch. Each task has the base configuration with its own values in place of the old ones; everything else stays byte for byte. With an Idempotency-Key a repeated request finds the same tasks.",
    tag: "Queue",
    answer: {
      schema: z.object({
        count: z.int(),
        dry_run: z.boolean(),
        tasks: z.array(
          z.object({
            task_id: z.int().nullable().describe("null in a dry run."),
            task_name: z.string(),
            values: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
          }),
        ),
      }),
      description: "The tasks, or those that would be made.",
    },
    errors: {
      404: "No such base task with a file.",
      422: "Something in it is not valid; nothing was stored.",
    },
  }),
  allow("tasks:write"),
  validate("json", sweepBody, fileTexts),
  async (c) => {
    const body = c.req.valid("json");
    const base: Base = body.config
      ? {
          ...body.config,
          dataset: body.dataset_file,
          dialect: body.dialect ?? undefined,
          parent: body.parent_task_id,
        }
      : await baseOf(c, body.base_task_id ?? 0);
    const { format, value: root } = readBase(base);
    if (format === "text")
      throw notValid([{ path: "config", message: "is no TOML, YAML or JSON" }], "The sweep");
    if (format === "yaml" && base.text.length > MAX_YAML)
      throw notValid([{ path: "config", message: `is YAML of over ${MAX_YAML} characters` }]);
    const keys = Object.keys(body.space);
    const rows = combinations(
      Object.values(body.space),
      body.method,
      body.count,
      body.seed,
      MOST_TASKS,
    );
    const most = format === "yaml" ? MOST_YAML_BYTES : MOST_BYTES;
    if (rows.length * base.text.length > most)
      throw notValid([
        {
          path: "space",
          message: `${rows.length} copies of this file are over ${most} bytes: make fewer at once`,
        },
      ]);
    const places = findPlaces(format, base.text, root, keys);
    const short = keys.map((key) => key.replace(/^.*[.\]]/, "").replaceAll('"', ""));
    const prefix = body.task_name ?? base.name ?? body.experiment_group;
    const made = rows.map((values: Scalar[], n) => ({
      task_name: `${cutText(`${prefix} ${short.map((key, k) => `${key}=${values[k]}`).join(" ")}`, 0, 290)} #${n + 1}`,
      values: Object.fromEntries(keys.map((key, k) => [key, values[k] ?? ""])),
      text: writeValues(format, base.text, root, places, keys, values),
    }));
    const command = body.command ?? base.command;
    const guard = body.guard === undefined ? base.guard : body.guard;
    const inputs = await Promise.all(
      made.map(({ task_name, text }) => {
        const task = {
          task_name,
          experiment_group: body.experiment_group,
          ...(command && { command }),
          ...(body.tags && { tags: body.tags }),
          ...(guard && { guard }),
          ...(base.parent && { parent_task_id: base.parent }),
          ...(base.dataset && { dataset_file: base.dataset }),
          ...(base.dialect && { dialect: base.dialect }),
          config: { text, format, ...(base.path && { path: base.path }) },
          queue: body.queue ?? {},
        };
        return readRegistration(task, JSON.stringify(task), base.secrets);
      }),
    );
    const ids = body.dry_run
      ? []
      : await registerTasks(c.var, inputs, c.req.header("Idempotency-Key")?.slice(0, 150));
    return c.json({
      count: made.length,
      dry_run: body.dry_run,
      tasks: made.map(({ task_name, values }, n) => ({
        task_id: ids[n] ?? null,
        task_name,
        values,
      })),
    });
  },
);
