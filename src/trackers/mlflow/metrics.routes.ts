import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { checkResults, int64, invalid, name, namedRun, readQuery, runName } from "./body.ts";
import { readHistories, readHistory, readSampled } from "./history.ts";
import { placeIn, tokenOf } from "./token.ts";
import { taskNamed } from "./write.ts";

const MOST_POINTS = 25_000;
const MOST_RUNS = 100;
const MOST_SAMPLED = 2500;

const runIds = z
  .union([z.string(), z.array(z.string())])
  .transform((one) => (Array.isArray(one) ? one : [one]));

function checkRuns(ids: string[]) {
  if (ids.length === 0 || ids.every((id) => id === ""))
    throw invalid("GetMetricHistoryBulk request must specify at least one run_id.");
  if (ids.length > MOST_RUNS)
    throw invalid(
      `GetMetricHistoryBulk request cannot specify more than ${MOST_RUNS} run_ids. Received ${ids.length} run_ids.`,
    );
}

export const metrics = new Hono<App>()
  .get("/metrics/get-history", allow("tasks:read", { box: true }), async (c) => {
    const query = readQuery(
      c,
      z.object({
        ...runName,
        metric_key: name,
        max_results: int64.default(MOST_POINTS),
        page_token: z.string().optional(),
      }),
    );
    checkResults(query.max_results, 1_000_000);
    const runId = namedRun(query);
    const list = `history ${runId} ${query.metric_key}`;
    const place = placeIn(list, query.page_token);
    const { points, next } = await readHistory(c.var.db, c.var.auth, taskNamed(runId), {
      key: query.metric_key,
      limit: Math.min(query.max_results, MOST_POINTS),
      place: place?.map(Number),
    });
    return c.json({ metrics: points, ...(next && { next_page_token: tokenOf(list, next) }) });
  })
  .get("/metrics/get-history-bulk", allow("tasks:read", { box: true }), async (c) => {
    const query = readQuery(
      c,
      z.object({
        run_id: runIds.default([]),
        metric_key: name,
        max_results: int64.default(MOST_POINTS),
      }),
      ["run_id"],
    );
    checkRuns(query.run_id);
    checkResults(query.max_results, MOST_POINTS);
    // MLflow's order: by run, then by time. A run that is named twice is answered once.
    const tasks = [...new Set(query.run_id.map(taskNamed))];
    const all = await readHistories(c.var.db, c.var.auth, tasks, {
      key: query.metric_key,
      limit: query.max_results,
    });
    return c.json({ metrics: all });
  })
  .get("/metrics/get-history-bulk-interval", allow("tasks:read", { box: true }), async (c) => {
    const query = readQuery(
      c,
      z.object({
        run_ids: runIds.default([]),
        metric_key: name,
        start_step: int64.optional(),
        end_step: int64.optional(),
        max_results: int64.default(MOST_SAMPLED),
      }),
      ["run_ids"],
    );
    checkRuns(query.run_ids);
    checkResults(query.max_results, MOST_SAMPLED);
    const { start_step: start, end_step: end } = query;
    if ((start === undefined) !== (end === undefined))
      throw invalid("If either start step or end step are specified, both must be specified.");
    if (start !== undefined && end !== undefined && start > end)
      throw invalid(
        `end_step must be greater than start_step. Found start_step=${start} and end_step=${end}.`,
      );
    const tasks = query.run_ids.map(taskNamed);
    const found = await readSampled(c.var.db, c.var.auth, tasks, {
      key: query.metric_key,
      from: start ?? 0,
      to: end ?? Number.MAX_SAFE_INTEGER,
      most: query.max_results,
    });
    return c.json({ metrics: found });
  });
