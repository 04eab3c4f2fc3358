import { sql } from "drizzle-orm";
import type { Context } from "hono";
import { Hono } from "hono";
import * as z from "zod";
import type { Segment } from "../../metrics/points.ts";
import { reportable } from "../../platform/auth/access.ts";
import { allow } from "../../platform/auth/middleware.ts";
import { chain } from "../../platform/db/batch.ts";
import type { App } from "../../platform/http/context.ts";
import { ApiError } from "../../platform/http/problem.ts";
import { redactJson } from "../../platform/secrets/redact.ts";
import { recordDatasets } from "../../runs/dataset-facts.ts";
import { report } from "../../runs/report.ts";
import { double, int64, invalid, name, namedRun, readBody, runName, word } from "./body.ts";
import { checkKey, MOST_BATCH, paramValue, tagPair, tagsOf } from "./keys.ts";
import { deleteTag, readHeld, taskNamed, writeChange } from "./write.ts";

const MOST_STEP = 9_999_999_999;

const metricFields = {
  key: name,
  value: double,
  timestamp: int64.default(0),
  step: int64.default(0),
};
type Metric = { key: string; value: number | string; timestamp: number; step: number };

/** Points as the ledger stores them: rows ascend by step, time and value, each value once. */
function segmentOf(metrics: Metric[]): Segment {
  const names = new Map<string, number>();
  const order = (value: Metric["value"]) => (typeof value === "number" ? value : Number(value));
  const sorted = [...metrics].sort(
    (a, b) => a.step - b.step || a.timestamp - b.timestamp || order(a.value) - order(b.value) || 0,
  );
  const rows: Segment["rows"] = [];
  for (const { key, value, timestamp, step } of sorted) {
    let column = names.get(key);
    if (column === undefined) {
      column = names.size;
      names.set(key, column);
    }
    const last = rows.at(-1);
    let row = last && last[0] === step && last[2] === timestamp ? last : undefined;
    const there = row?.[column + 3];
    if (there !== undefined && there !== null) {
      if (there === value) continue;
      row = undefined;
    }
    if (!row) {
      row = [step, null, timestamp];
      rows.push(row);
    }
    // What value is, the schema has said.
    row[column + 3] = value as Segment["rows"][number][3];
  }
  return {
    metrics: [...names.keys()],
    rows: rows.map(
      (row) =>
        Array.from({ length: names.size + 3 }, (_, n) => row[n] ?? null) as Segment["rows"][number],
    ),
  };
}

function checkMetric({ key, step, timestamp }: Metric) {
  checkKey("Metric", key);
  if (step < 0 || step > MOST_STEP)
    throw invalid(
      `Invalid value ${step} for parameter 'step' supplied: the ledger keeps steps from 0 to ${MOST_STEP}.`,
    );
  if (timestamp < 0)
    throw invalid(
      `Invalid value ${timestamp} for parameter 'timestamp' supplied: it must be milliseconds since 1970.`,
    );
}

/** Stores points of a run in one round trip. Throws MlflowError where it is not there or not active. */
async function storeMetrics(c: Context<App>, runId: string, metrics: Metric[]) {
  for (const metric of metrics) checkMetric(metric);
  const taskId = taskNamed(runId);
  const segment = segmentOf(metrics);
  try {
    await report(c, { taskId, attempt: undefined, seq: null, segment });
  } catch (error) {
    // Why: someone else's, in the trash, or none at all.
    if (error instanceof ApiError && error.status === 404) await readHeld(c, runId);
    throw error;
  }
}

/** Params of a batch; each key once. Throws MlflowError. */
function paramsOf(list: { key: string; value: string }[]): Record<string, string> {
  const params: Record<string, string> = {};
  const twice = new Set<string>();
  for (const { key, value } of list) {
    checkKey("Param", key);
    if (Object.hasOwn(params, key)) twice.add(key);
    params[key] = paramValue(value);
  }
  if (twice.size > 0)
    throw invalid(
      `Duplicate parameter keys have been submitted: [${[...twice].map((key) => `'${key}'`).join(", ")}]. Please ensure the request contains only one param value per param key.`,
    );
  return redactJson(params, "").value;
}

const tooMany = (what: string, most: number, count: number) =>
  invalid(
    `A batch logging request can contain at most ${most} ${what}. Got ${count} ${what}. Please split up ${what} across multiple requests and try again.`,
  );

export const logging = new Hono<App>()
  .post("/runs/log-metric", allow("tasks:write", { box: true }), async (c) => {
    const body = await readBody(c, z.object({ ...runName, ...metricFields }));
    await storeMetrics(c, namedRun(body), [body]);
    return c.json({});
  })
  .post("/runs/log-parameter", allow("tasks:write", { box: true }), async (c) => {
    const body = await readBody(c, z.object({ ...runName, key: name, value: word.default("") }));
    const run = await readHeld(c, namedRun(body));
    await writeChange(c, run, { params: paramsOf([body]), single: true });
    return c.json({});
  })
  .post("/runs/log-batch", allow("tasks:write", { box: true }), async (c) => {
    const body = await readBody(
      c,
      z.object({
        ...runName,
        metrics: z.array(z.object(metricFields)).default([]),
        params: z.array(z.object({ key: name, value: word.default("") })).default([]),
        tags: z.array(tagPair).default([]),
      }),
    );
    const runId = namedRun(body);
    for (const what of ["metrics", "params", "tags"] as const)
      if (body[what].length > MOST_BATCH[what])
        throw tooMany(what, MOST_BATCH[what], body[what].length);
    const count = body.metrics.length + body.params.length + body.tags.length;
    if (count > MOST_BATCH.all) throw tooMany("metrics, params, and tags", MOST_BATCH.all, count);
    const params = paramsOf(body.params);
    const tags = tagsOf(body.tags);
    for (const metric of body.metrics) checkMetric(metric);
    // Params and tags first: what refuses a batch refuses all of it.
    if (body.params.length + body.tags.length > 0 || body.metrics.length === 0)
      await writeChange(c, await readHeld(c, runId), { params, tags });
    if (body.metrics.length > 0) await storeMetrics(c, runId, body.metrics);
    return c.json({});
  })
  .post("/runs/set-tag", allow("tasks:write", { box: true }), async (c) => {
    const body = await readBody(c, z.object({ ...runName, key: name, value: word.default("") }));
    const run = await readHeld(c, namedRun(body));
    await writeChange(c, run, { tags: tagsOf([body]) });
    return c.json({});
  })
  .post("/runs/delete-tag", allow("tasks:write", { box: true }), async (c) => {
    const body = await readBody(c, z.object({ ...runName, key: name }));
    await deleteTag(c, await readHeld(c, namedRun(body)), body.key);
    return c.json({});
  })
  .post("/runs/log-inputs", allow("tasks:write", { box: true }), async (c) => {
    const text = (longest: number) => word.pipe(z.string().max(longest));
    const body = await readBody(
      c,
      z.object({
        ...runName,
        datasets: z
          .array(
            z.object({
              tags: z.array(tagPair).max(100).default([]),
              dataset: z.object({
                name: text(500).refine((one) => one !== ""),
                digest: text(36).default(""),
                source_type: text(100).default(""),
                source: text(65_535).default(""),
                schema: text(1_048_575).optional(),
                profile: text(2_000_000).optional(),
              }),
            }),
          )
          .max(100)
          .default([]),
      }),
    );
    const run = await readHeld(c, namedRun(body));
    const inputs = body.datasets.map(({ tags, dataset }) => ({
      tags: Object.entries(tagsOf(tags)).map(([key, value]) => ({ key, value })),
      dataset: redactJson(
        Object.fromEntries(
          Object.entries(dataset).filter((one): one is [string, string] => one[1] !== undefined),
        ),
        "",
      ).value as { name: string; digest: string },
    }));
    await writeChange(c, run, { inputs });
    // Facts about data are known by their hash: a digest is one.
    const { db, auth } = c.var;
    const id = sql`(select id from training_task where id = ${run.taskId} and ${reportable(auth)})`;
    const facts = inputs.flatMap(({ dataset }) =>
      dataset.digest && dataset.name.trim()
        ? [
            {
              name: dataset.name.trim().slice(0, 300),
              content_hash: `mlflow:${dataset.digest}`,
            },
          ]
        : [],
    );
    if (facts.length > 0)
      await chain(db, { facts: await recordDatasets(db, id, facts.slice(0, 50)) });
    return c.json({});
  });
