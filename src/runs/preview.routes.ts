import { sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { reachedStep } from "../platform/db/schema/runs.ts";
import { trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { commandMarks } from "../platform/secrets/marks.ts";
import type { JsonValue } from "../shared/json.ts";
import { settingsOf } from "../trainers/recognise.ts";
import templates from "../trainers/templates.json" with { type: "json" };
import type { ReadConfig } from "./config.ts";
import { readByStored } from "./dialects.ts";
import { expectedOf } from "./expected.ts";
import { markAnswer, writableFields } from "./fields.ts";
import { fileInput, fileTexts, readRegistration, registration, toRow } from "./register.ts";
import { packSources, sourcesAnswer, unpackSources } from "./sources.ts";

/** Successful runs, the newest ones, among which similar ones are looked for. */
const MOST_LOOKED_AT = 500;

const formats = ["toml", "yaml", "json", "text"] as const;

const templateAnswer = z.object({
  trainer: z.string(),
  arch: z.string().describe("A base architecture; behind a slash which of its models."),
});

const previewBody = z.strictObject({
  config: fileInput.nullish(),
  dataset_file: fileInput.nullish(),
  dialect: registration.shape.dialect,
  command: writableFields.command.nullish(),
  images_per_epoch: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .nullish()
    .describe("Images times repeats, where epochs say how long the run is."),
});

const median = (sorted: number[]): number => {
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
};
const medianOf = (values: number[]) =>
  values.length ? median([...values].sort((a, b) => a - b)) : null;

const marksOf = (file: ReadConfig | null, of: "config" | "dataset_file") =>
  (file?.secrets ?? []).flatMap(({ file: within, ...mark }) => (within === of ? [mark] : []));

/** Routes for a run that is being made: templates, how a file will be read, and how fast runs like it were. */
export const previews = new Hono<App>()
  .get(
    "/templates",
    describe({
      summary: "List templates of configurations",
      description:
        "Lists a template for each trainer and base architecture, made from the trainer's own defaults. With `trainer` and `arch` the answer has that template's file; with `trainer` it has the settings that this ledger reads of the trainer's files.",
      tag: "Tasks",
      answer: {
        schema: z.object({
          items: z.array(templateAnswer),
          settings: z.array(z.string()).describe("Paths of settings of the trainer's file."),
          template: templateAnswer
            .extend({
              format: z.enum(formats),
              path: z.string(),
              text: z.string(),
              dataset_file: z
                .object({ path: z.string(), text: z.string() })
                .nullable()
                .describe("The separate file that lists the data."),
              command: z
                .array(z.string())
                .nullable()
                .describe("The trainer's command; null: it is started in another way."),
            })
            .nullable(),
        }),
        description: "The templates.",
      },
      errors: { 404: "There is no such template.", 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    validate(
      "query",
      z.strictObject({
        trainer: z.string().max(100).optional(),
        arch: z.string().max(100).optional(),
      }),
    ),
    (c) => {
      const { trainer, arch } = c.req.valid("query");
      const found = templates.filter((one) => trainer === undefined || one.trainer === trainer);
      const one = arch === undefined ? undefined : found.find((each) => each.arch === arch);
      if (arch !== undefined && (trainer === undefined || !one))
        throw notFound("template", { id: `${trainer ?? ""}/${arch}` });
      return c.json({
        items: found.map(({ trainer, arch }) => ({ trainer, arch })),
        settings: trainer === undefined ? [] : settingsOf(trainer),
        template: one
          ? {
              trainer: one.trainer,
              arch: one.arch,
              format: formats.find((name) => name === one.format) ?? ("text" as const),
              path: one.path,
              text: one.text,
              dataset_file:
                one.dataset === null ? null : { path: "dataset.toml", text: one.dataset },
              command: one.command,
            }
          : null,
      });
    },
  )
  .get(
    "/speeds",
    describe({
      summary: "Get how fast similar runs were, by GPU",
      description: `Looks at the newest ${MOST_LOOKED_AT} successful runs: those of the same trainer and base architecture, each with the seconds that it took for a step.`,
      tag: "Tasks",
      answer: {
        schema: z.object({
          items: z.array(
            z.object({
              gpu_info: z.string(),
              runs: z.int(),
              seconds_per_step: z.number().describe("The median of the runs."),
              hourly_price: z
                .number()
                .nullable()
                .describe("The median of those that state a price; null where none does."),
            }),
          ),
        }),
        description: "The GPUs that such runs were made on, those of most runs first.",
      },
      errors: { 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    validate(
      "query",
      z.strictObject({
        trainer: z.string().min(1).max(200),
        base_arch: z.string().max(200).optional().describe("Left out: runs without one."),
      }),
    ),
    async (c) => {
      const { trainer, base_arch: arch = null } = c.req.valid("query");
      const { db, auth } = c.var;
      const rows = await db.all<{ gpu: string; seconds: number; price: number | null }>(sql`
        select gpu_info as gpu, total_duration_sec / step as seconds, hourly_price as price from (
          select trainer, base_arch, gpu_info, total_duration_sec, hourly_price,
            ${sql.raw(reachedStep)} as step
          from ${trainingTask}
          where status = 'success' and deleted_at is null and ${readable(auth)}
          order by created_at desc limit ${MOST_LOOKED_AT})
        where trainer = ${trainer} and base_arch is ${arch} and gpu_info is not null
          and total_duration_sec > 0 and step > 0`);
      const byGpu = Map.groupBy(rows, ({ gpu }) => gpu);
      return c.json({
        items: [...byGpu]
          .map(([gpu_info, runs]) => ({
            gpu_info,
            runs: runs.length,
            seconds_per_step: medianOf(runs.map(({ seconds }) => seconds)) ?? 0,
            hourly_price: medianOf(runs.flatMap(({ price }) => (price === null ? [] : [price]))),
          }))
          .sort((a, b) => b.runs - a.runs),
      });
    },
  )
  .post(
    "/preview",
    describe({
      summary: "Read a configuration without registering a run",
      description:
        "Reads the files and the command as registering reads them, and stores nothing. A broken file is refused with line and column, as registering refuses it.",
      tag: "Tasks",
      answer: {
        schema: z.object({
          trainer: z.string().describe("`unknown` where no dialect recognises the file."),
          kind: z
            .enum(["run", "dataset", "preset", "full-fine-tune", "embedding", "unknown"])
            .describe("Whether the file starts a LoRA run, or which other file it is."),
          format: z.enum(formats),
          task_name: z.string(),
          fields: z.record(z.string(), z.json()).describe("The run's columns."),
          field_sources: sourcesAnswer,
          warnings: z.array(
            z.object({ code: z.string(), message: z.string(), path: z.string().optional() }),
          ),
          secrets: z
            .object({
              config: z.array(markAnswer),
              dataset_file: z.array(markAnswer),
              command: z.array(markAnswer),
            })
            .describe("The `[redacted]` of the stored files and command that a box fills."),
          expected: z.object({
            steps: z.number().nullable(),
            images: z.number().nullable().describe("That each process of the run trains on."),
          }),
        }),
        description: "The columns, their sources, and the warnings.",
      },
      errors: { 413: "The body is over 4 MB.", 422: "A file is broken, or the body is not valid." },
    }),
    allow("tasks:write"),
    validate("json", previewBody, fileTexts),
    async (c) => {
      const { images_per_epoch: images, ...files } = c.req.valid("json");
      const { db, auth } = c.var;
      const input = await readByStored(db, auth, await readRegistration(files, ""));
      const { columns, warnings, sources } = toRow(input);
      const packed = packSources(sources);
      const { file } = input;
      const { task_name: name, additional_args: _, ...read } = columns;
      // Columns come from the file or from validated JSON, which they still are.
      const fields = read as { [column: string]: JsonValue };
      const defaulted = file?.recognition.defaults ?? [];
      return c.json({
        trainer: file?.recognition.trainer ?? "unknown",
        kind: file?.recognition.kind ?? ("unknown" as const),
        format: file?.recognition.format ?? ("text" as const),
        task_name: String(name),
        fields,
        field_sources: unpackSources(packed, defaulted),
        warnings,
        secrets: {
          config: marksOf(file, "config"),
          dataset_file: marksOf(file, "dataset_file"),
          command: commandMarks(input.fields.command ?? []),
        },
        expected: expectedOf(fields, defaulted, images ?? null),
      });
    },
  );
