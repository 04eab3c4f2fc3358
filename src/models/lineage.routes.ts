import { and, desc, eq, inArray, isNull, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { storeOf } from "../files/bucket/open.ts";
import { DOWNLOAD_URL_SEC } from "../files/bucket/store.ts";
import { systemLast } from "../metrics/system.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import {
  dataset,
  metricSummary,
  model,
  modelVersion,
  trainingTask,
} from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { shortColumns } from "../runs/queries.ts";
import { ownFields } from "../shared/run-fields.ts";
import { modelParam, nameKey } from "./names.ts";
import { hasName, requireSight, selectVersions, toVersion, versionAnswer } from "./queries.ts";

const runAnswer = z.object({
  id: z.int(),
  task_name: z.string(),
  status: z.string(),
  parent_task_id: z.int().nullable(),
  experiment_group: z.string().nullable(),
  final_loss: z.number().nullable(),
  cost: z.number().nullable(),
});

const MOST_RUNS = 200;

/**
 * Runs of a family, without the one they are the family of; `step` leads from one to the next, also
 * through those in the trash, which are left out.
 */
const family = (start: number, step: SQL) => sql`
  with recursive line (id, depth) as (
    select ${start}, 0 union select t.id, depth + 1 from line join training_task t on ${step} where depth < 50 limit ${MOST_RUNS})
  select t.id, t.task_name, t.status, t.parent_task_id, t.experiment_group, t.final_loss, t.cost
  from (select id, min(depth) as depth from line group by id) l join training_task t on t.id = l.id
  where t.id <> ${start} and t.deleted_at is null order by l.depth, t.id`;

type Run = z.infer<typeof runAnswer>;

const upwards = sql`t.id = (select p.parent_task_id from training_task p where p.id = line.id)`;
const downwards = sql`t.parent_task_id = line.id`;

/** A run's ancestors, descendants and versions. */
export const taskLineage = new Hono<App>().get(
  "/:id/lineage",
  describe({
    summary: "A run's ancestors, descendants and versions",
    description: `The runs that this run continues, the runs that continue it (at most ${MOST_RUNS} each), and the model versions made from its files or from those of its descendants.`,
    tag: "Models",
    answer: {
      schema: z.object({
        task_id: z.int(),
        ancestors: z.array(runAnswer).describe("The nearest first."),
        descendants: z.array(runAnswer).describe("The nearest first."),
        versions: z.array(versionAnswer).describe("Newest first, at most 200."),
      }),
      description: "The run's family.",
    },
    errors: { 404: "No such task." },
  }),
  allow("models:read", { also: ["tasks:read"] }),
  validate("param", idParam),
  async (c) => {
    const { id } = c.req.valid("param");
    const { db } = c.var;
    const { known, ancestors, descendants, versions } = await chain(db, {
      known: db
        .select({ id: trainingTask.id })
        .from(trainingTask)
        .where(and(eq(trainingTask.id, id), isNull(trainingTask.deletedAt))),
      ancestors: db.all<Run>(family(id, upwards)),
      descendants: db.all<Run>(family(id, downwards)),
      versions: selectVersions(
        db,
        sql`model_version.task_id in (
          with recursive line (id, depth) as (
            select ${id}, 0 union select t.id, depth + 1 from line join training_task t on ${downwards} where depth < 50 limit ${MOST_RUNS})
          select id from line)`,
      )
        .orderBy(desc(modelVersion.id))
        .limit(200),
    });
    if (!known.length) throw notFound("task", { id: id });
    return c.json({ task_id: id, ancestors, descendants, versions: versions.map(toVersion) });
  },
);

/** The versions that were trained on a dataset. */
export const datasetVersions = new Hono<App>().get(
  "/:id/versions",
  describe({
    summary: "Model versions trained on a dataset",
    description:
      "A task's `datasets` have the id of each dataset. The answer of a version lists the datasets that it was trained on.",
    tag: "Models",
    answer: {
      schema: pageAnswer(versionAnswer),
      description: "Newest first.",
    },
    errors: { 404: "No such dataset." },
  }),
  allow("models:read", { also: ["tasks:read"] }),
  validate("param", idParam),
  validate("query", z.strictObject(pageQuery)),
  async (c) => {
    const { id } = c.req.valid("param");
    const { limit, cursor } = c.req.valid("query");
    const { db } = c.var;
    const list = `dataset ${id}`;
    const before = cursor ? decodeCursor(list, cursor, z.tuple([z.int()]))[0] : undefined;
    // Read from the versions, which are few: an index on datasets would cost every run a row.
    const { known, rows } = await chain(db, {
      known: db.select({ id: dataset.id }).from(dataset).where(eq(dataset.id, id)),
      rows: selectVersions(
        db,
        sql`exists (select 1 from task_dataset d where d.task_id = model_version.task_id and d.dataset_id = ${id})
          and ${before === undefined ? sql`true` : sql`model_version.id < ${before}`}`,
      )
        .orderBy(desc(modelVersion.id))
        .limit(limit + 1),
    });
    if (!known.length) throw notFound("dataset", { id: id });
    const { items, next_cursor } = page(rows, limit, (last) => encodeCursor(list, [last.row.id]));
    return c.json({ items: items.map(toVersion), next_cursor });
  },
);

/** Columns of a run that are its own by nature; all others are compared. */
const incomparable = new Set<string>(ownFields);

const MOST_COMPARED = 10;

/** A model's versions side by side. */
export const comparison = new Hono<App>().get(
  "/:name/compare",
  describe({
    summary: "Versions side by side",
    description:
      "The versions, the settings and figures in which their runs differ and agree, their metrics, and samples by prompt, with links that work for minutes.",
    tag: "Models",
    answer: {
      schema: z.object({
        versions: z.array(versionAnswer),
        differs: z
          .record(z.string(), z.array(z.json()))
          .describe("Field → its value in each version, in the order of `versions`."),
        agrees: z.record(z.string(), z.json()),
        metrics: z
          .record(
            z.string(),
            z.array(
              z
                .object({
                  last: z.number().nullable(),
                  min: z.number().nullable(),
                  max: z.number().nullable(),
                })
                .nullable(),
            ),
          )
          .describe("Metric → its figures in each version."),
        samples: z
          .array(
            z.object({
              prompt: z.string().nullable(),
              images: z.array(z.array(z.object({ weight_id: z.int(), url: z.string() }))),
            }),
          )
          .describe("Prompt → the latest images of each version, as many as fit a page."),
      }),
      description: "The comparison.",
    },
    errors: {
      403: "One of them was never approved, and the key lacks tasks:read or weights:read.",
      404: "No such model or version.",
    },
  }),
  allow("models:read"),
  validate("param", modelParam),
  validate(
    "query",
    z.strictObject({
      versions: z
        .string()
        .max(200)
        .transform((text) => [...new Set(text.split(",").map(Number))])
        .describe(`Two to ${MOST_COMPARED} numbers, such as 1,3,4.`),
    }),
  ),
  async (c) => {
    const { name } = c.req.valid("param");
    const { versions } = c.req.valid("query");
    const fine = versions.every((n) => Number.isSafeInteger(n) && n > 0);
    if (!fine || versions.length < 2 || versions.length > MOST_COMPARED)
      throw notValid([
        { path: "versions", message: `must be two to ${MOST_COMPARED} numbers, such as 1,3,4` },
      ]);
    const { db } = c.var;
    const ids = sql`(select v.task_id from model_version v join model m on m.id = v.model_id
      where m.name_key = ${nameKey(name)} and v.number in ${versions})`;
    const { known, rows, runs, figures, samples } = await chain(db, {
      known: db.select({ name: model.name }).from(model).where(hasName(name)),
      rows: selectVersions(db, sql`${hasName(name)} and ${inArray(modelVersion.number, versions)}`),
      runs: db.select(shortColumns).from(trainingTask).where(sql`${trainingTask.id} in ${ids}`),
      figures: db
        .select()
        .from(metricSummary)
        .where(sql`${metricSummary.taskId} in ${ids}`)
        .orderBy(systemLast(sql`metric`), metricSummary.taskId, metricSummary.metric)
        .limit(2000),
      samples: db.all<{
        task_id: number;
        id: number;
        prompt: string | null;
        filename: string;
        size: number;
        object_key: string;
        media_type: string;
      }>(sql`
        select * from (
          select w.task_id, w.id, w.prompt, w.filename, w.size, o.object_key, o.media_type,
            row_number() over (partition by w.task_id, w.prompt order by w.step desc, w.id desc) as nth
          from weight w join stored_object o on o.id = w.object_id
          where w.task_id in ${ids} and w.kind = 'sample' and w.state = 'complete' and w.deleted_at is null
            and o.state = 'complete' and o.media_type like 'image/%')
        where nth <= 2 limit 600`),
    });
    if (!known.length) throw notFound("model", { id: name });
    const ordered = versions.map((number) => {
      const row = rows.find((r) => r.version === number);
      if (!row) throw notFound("version", { version: number, model: name });
      return row;
    });
    requireSight(c.var.auth, ["tasks:read", "weights:read"], ...ordered);
    const fields = ordered.map((row) => {
      const run = runs.find((r) => r.id === row.taskId);
      const { rank, alpha, algorithm, baseArch, size, verified, state } = row;
      return {
        ...Object.fromEntries(
          Object.entries(run ? toWire(run) : {}).filter(([field]) => !incomparable.has(field)),
        ),
        file_rank: rank,
        file_alpha: alpha,
        file_algorithm: algorithm,
        file_base_arch: baseArch,
        file_size: size,
        verified,
        state,
      };
    });
    const differs: Record<string, unknown[]> = {};
    const agrees: Record<string, unknown> = {};
    for (const field of new Set(fields.flatMap((f) => Object.keys(f)))) {
      const values = fields.map((f) => new Map(Object.entries(f)).get(field) ?? null);
      const alike = values.every((v) => JSON.stringify(v) === JSON.stringify(values[0]));
      if (!alike) differs[field] = values;
      else if (values[0] !== null) agrees[field] = values[0];
    }
    const metrics = Object.fromEntries(
      [...new Set(figures.map((f) => f.metric))].map((metric) => [
        metric,
        ordered.map((row) => {
          const found = figures.find((f) => f.taskId === row.taskId && f.metric === metric);
          return found ? { last: found.last, min: found.min, max: found.max } : null;
        }),
      ]),
    );
    const store = storeOf(c);
    const expires = new Date(Date.now() + DOWNLOAD_URL_SEC * 1000);
    // Signing takes CPU time: as many links as a page shows.
    const prompts = [...new Set(samples.map((s) => s.prompt))].slice(
      0,
      Math.max(1, Math.floor(60 / ordered.length / 2)),
    );
    const sideBySide = await Promise.all(
      prompts.map(async (prompt) => ({
        prompt,
        images: await Promise.all(
          ordered.map((row) =>
            Promise.all(
              samples
                .filter((s) => s.task_id === row.taskId && s.prompt === prompt)
                .map(async (s) => ({
                  weight_id: s.id,
                  url: await store.signGet(
                    { objectKey: s.object_key, size: s.size },
                    { name: s.filename, mediaType: s.media_type },
                    expires,
                  ),
                })),
            ),
          ),
        ),
      })),
    );
    return c.json({
      versions: ordered.map(toVersion),
      differs,
      agrees,
      metrics,
      samples: sideBySide,
    });
  },
);
