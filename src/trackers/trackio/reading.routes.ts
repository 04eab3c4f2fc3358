/*
 * What Trackio's client reads: the caller's runs that Trackio's client logged, by project and by name or id.
 */
import { sql } from "drizzle-orm";
import { Hono } from "hono";
import type { StoredSegment, Value } from "../../metrics/points.ts";
import {
  attemptsQuery,
  type ChunkText,
  metricNames,
  nextChunks,
  type Place,
  toAttempts,
} from "../../metrics/read.ts";
import { readable } from "../../platform/auth/access.ts";
import { allow } from "../../platform/auth/middleware.ts";
import type { Db } from "../../platform/db/client.ts";
import { trainingTask } from "../../platform/db/schema.ts";
import type { App } from "../../platform/http/context.ts";
import { isSystemMetric } from "../../shared/system-metrics.ts";
import { type Alert, alertsOf } from "./alerts.ts";
import { argumentsOf, metricCall, projectCall, runCall, trackioProblem } from "./form.ts";
import { key } from "./key.ts";

const MOST_RUNS = 1000;
/** Rows that an answer gives, of at most so many reads of 3 MB. */
const MOST_ROWS = 50_000;
const MOST_PAGES = 8;

type Vars = Pick<App["Variables"], "db" | "auth">;

/** The caller's runs of Trackio: what all reading looks at. */
const mine = ({ auth }: Vars) => sql`
  tracker_run r indexed by tracker_run_name cross join training_task on training_task.id = r.task_id
  where r.user_id = ${auth.userId} and r.tracker = 'trackio' and training_task.deleted_at is null
    and ${readable(auth)}`;

type RunRow = { task_id: number; id: string; name: string; created_at: string; record: string };

/** A run by its project and its id or its name, the newest first; null where the caller has none. */
async function findNamed(
  vars: Vars,
  { project, run, run_id }: { project: string; run?: string | null; run_id?: string | null },
): Promise<RunRow | null> {
  const named = run_id
    ? sql`r.run = ${run_id}`
    : sql`(${trainingTask.taskName} = ${run ?? ""} or r.run = ${run ?? ""})`;
  const [row] = await vars.db.all<RunRow>(sql`
    select r.task_id, r.run as id, training_task.task_name as name, r.created_at, r.record
    from ${mine(vars)} and r.project = ${project} and ${named} order by r.task_id desc limit 1`);
  return row ?? null;
}

const runsOf = (vars: Vars, project: string) =>
  vars.db.all<{ id: string; name: string; created_at: string }>(sql`
    select r.run as id, training_task.task_name as name, r.created_at
    from ${mine(vars)} and r.project = ${project} order by r.task_id desc limit ${MOST_RUNS}`);

const isSystem = (name: string) => isSystemMetric(name) || name.startsWith("system/");

const namesOfRun = async (db: Db, taskId: number, system: boolean) =>
  metricNames(toAttempts(await attemptsQuery(db, taskId))).filter(
    (name) => isSystem(name) === system,
  );

type Logged = { step: number; timestamp: string | null; metrics: [string, Value][] };

/** What was logged, by step: of the metrics that `wanted` names. */
async function readLogged(
  db: Db,
  taskId: number,
  wanted: (metric: string) => boolean,
): Promise<Logged[]> {
  const logged: Logged[] = [];
  let place: Place = { attempt: 0, arrival: 0 };
  for (let page = 0; page < MOST_PAGES && logged.length < MOST_ROWS; page++) {
    const rows: ChunkText[] = await db.all<ChunkText>(nextChunks(taskId, place, undefined));
    if (rows.length === 0) break;
    for (const row of rows) {
      place = row;
      const segments: StoredSegment[] = JSON.parse(row.points);
      for (const { m, p } of segments)
        for (const [step, , ms, ...values] of p) {
          const metrics = m.flatMap((name, n): [string, Value][] => {
            const value = values[n];
            return value === null || value === undefined || !wanted(name) ? [] : [[name, value]];
          });
          const timestamp = ms === null ? null : new Date(ms).toISOString();
          if (metrics.length) logged.push({ step, timestamp, metrics });
        }
    }
  }
  return logged.sort((a, b) => a.step - b.step).slice(0, MOST_ROWS);
}

/** Trackio's own server answers numbers that JSON cannot say with null. */
const shown = (value: Value) => (typeof value === "number" ? value : null);

const toRow = ({ step, timestamp, metrics }: Logged) => ({
  ...Object.fromEntries(metrics.map(([name, value]) => [name, shown(value)])),
  timestamp,
  step,
});

const toAlert = (run: string, { timestamp, title, text, level, step }: Alert) => ({
  ...{ timestamp, run, title, text, level, step },
});

const read = allow("tasks:read", { box: true });

export const trackioReading = new Hono<App>()
  .onError(trackioProblem)
  .post("/get_all_projects", ...key, read, async (c) => {
    const rows = await c.var.db.all<{ project: string }>(sql`
      select distinct project from (select r.project from ${mine(c.var)} order by r.project limit 20000)`);
    return c.json({ data: rows.map(({ project }) => project) });
  })
  .post("/get_runs_for_project", ...key, read, async (c) => {
    const { project } = await argumentsOf(c, projectCall);
    return c.json({ data: await runsOf(c.var, project) });
  })
  .post("/get_metrics_for_run", ...key, read, async (c) => {
    const run = await findNamed(c.var, await argumentsOf(c, runCall));
    return c.json({ data: run ? await namesOfRun(c.var.db, run.task_id, false) : [] });
  })
  .post("/get_system_metrics_for_run", ...key, read, async (c) => {
    const run = await findNamed(c.var, await argumentsOf(c, runCall));
    return c.json({ data: run ? await namesOfRun(c.var.db, run.task_id, true) : [] });
  })
  .post("/get_metric_values", ...key, read, async (c) => {
    const { metric_name, ...named } = await argumentsOf(c, metricCall);
    const run = await findNamed(c.var, named);
    const logged = run
      ? await readLogged(c.var.db, run.task_id, (name) => name === metric_name)
      : [];
    return c.json({
      data: logged.map(({ step, timestamp, metrics: [first] }) => ({
        ...{ timestamp, step, value: first ? shown(first[1]) : null },
      })),
    });
  })
  .post("/get_logs", ...key, read, async (c) => {
    const run = await findNamed(c.var, await argumentsOf(c, runCall));
    const logged = run ? await readLogged(c.var.db, run.task_id, (name) => !isSystem(name)) : [];
    return c.json({ data: logged.map(toRow) });
  })
  .post("/get_system_logs", ...key, read, async (c) => {
    const run = await findNamed(c.var, await argumentsOf(c, runCall));
    const logged = run ? await readLogged(c.var.db, run.task_id, isSystem) : [];
    return c.json({ data: logged.map(toRow) });
  })
  .post("/get_alerts", ...key, read, async (c) => {
    const run = await findNamed(c.var, await argumentsOf(c, runCall));
    const alerts = run ? alertsOf(JSON.parse(run.record)) : [];
    return c.json({ data: run ? alerts.map((alert) => toAlert(run.name, alert)) : [] });
  })
  .post("/get_run_summary", ...key, read, async (c) => {
    const named = await argumentsOf(c, runCall);
    const run = await findNamed(c.var, named);
    const attempts = run ? await attemptsQuery(c.var.db, run.task_id) : [];
    const [figures] = run
      ? await c.var.db.all<{ points: number; last: number | null }>(sql`
          select coalesce(sum(points), 0) as points, max(last_step) as last from task_attempt
          where task_id = ${run.task_id}`)
      : [];
    return c.json({
      data: {
        project: named.project,
        run: run?.name ?? named.run ?? null,
        run_id: run?.id ?? null,
        num_logs: figures?.points ?? 0,
        metrics: metricNames(toAttempts(attempts)).filter((name) => !isSystem(name)),
        config: null,
        last_step: figures?.last ?? null,
      },
    });
  })
  .post("/get_project_summary", ...key, read, async (c) => {
    const { project } = await argumentsOf(c, projectCall);
    const runs = await runsOf(c.var, project);
    return c.json({
      data: { project, num_runs: runs.length, runs, last_activity: null },
    });
  });
