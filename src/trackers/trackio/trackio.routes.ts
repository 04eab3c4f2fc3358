/*
 * Trackio's protocol, at `$LEDGER_URL` itself. docs/trackers.md has what of it is answered, and what becomes of it.
 */
import { type Context, Hono } from "hono";
import type * as z from "zod";
import type { Value } from "../../metrics/points.ts";
import { allow } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { notValid } from "../../platform/http/validate.ts";
import type { JsonValue } from "../../shared/json.ts";
import { type Entry, flatten, nameOf, numberOf, stepOf, toSegments } from "../points.ts";
import { type Known, openRunOf, plainText, reportOn, withRun } from "../runs.ts";
import { keepAlerts, lastStepOf } from "./alerts.ts";
import { type Caption, captionOf, keepCaptions } from "./captions.ts";
import {
  alertCall,
  argumentsOf,
  logCall,
  msOf,
  namedOf,
  type Ref,
  trackioProblem,
} from "./form.ts";
import { key } from "./key.ts";
import { systemFigure } from "./system.ts";

/** The version of Trackio's server whose protocol is spoken; clients ask for the version of the calls. */
const VERSION = { version: "0.43.0", api_version: 1 };

/** Entries by their runs, in the order in which the runs come first. */
function byRun<T extends Ref>(entries: T[]): [T, ...T[]][] {
  const runs = new Map<string, [T, ...T[]]>();
  for (const entry of entries) {
    const key = JSON.stringify([entry.project, entry.run_id || entry.run]);
    const before = runs.get(key);
    if (before) before.push(entry);
    else runs.set(key, [entry]);
  }
  return [...runs.values()];
}

/** Runs that one call may open or log to: each takes up to four round trips. */
const MOST_RUNS = 50;

/** The settings among what a client sends as config: what it adds itself says nothing of the training. */
function settingsOf(entries: z.infer<typeof logCall>["logs"]) {
  const config = entries.find((entry) => entry.config)?.config;
  if (!config) return null;
  // JSON.parse made it.
  const settings = { ...(config as Record<string, JsonValue>) };
  const group = settings._Group;
  for (const name of ["_Username", "_Created", "_Group"]) delete settings[name];
  return { settings, group: typeof group === "string" && group ? group : null };
}

/** Stores entries of one run. */
async function store(c: Context<App>, run: Known, entries: Entry[], tail?: string | null) {
  const segments = toSegments(entries.filter(({ metrics }) => metrics.size > 0));
  const last = entries.reduce((most, { step }) => Math.max(most, step), 0);
  const progress = run.alone && segments.length ? { step: last } : null;
  await reportOn(c, run, segments, { progress, tail: run.alone ? tail : null });
}

async function log(c: Context<App>, entries: z.infer<typeof logCall>["logs"]) {
  const [first] = entries;
  if (!first) return;
  const named = namedOf(first);
  const read = settingsOf(entries);
  const open = () =>
    openRunOf(c.var, named, {
      name: plainText(first.run, 300),
      config: read?.settings,
      tags: read?.group ? { group: plainText(read.group, 500) } : undefined,
    });
  const captions: Caption[] = [];
  const points = entries.map(
    ({ step, metrics, timestamp }): Entry => ({
      step: stepOf(step ?? 0),
      ms: msOf(timestamp),
      // Texts, tables and histograms are no points; the bytes of media come by their own calls.
      metrics: flatten(metrics ?? {}, (name, value) => captions.push(...captionOf(name, value))),
    }),
  );
  await withRun(c.var, named, open, async (run) => {
    await store(c, run, points);
    if (captions.length) await keepCaptions(c.var.db, run.taskId, captions);
  });
}

async function logSystem(c: Context<App>, entries: z.infer<typeof logCall>["logs"]) {
  const [first] = entries;
  if (!first) return;
  const named = namedOf(first);
  const open = () => openRunOf(c.var, named, { name: plainText(first.run, 300) });
  await withRun(c.var, named, open, async (run) => {
    // Samples of the machine name no step: they are of the last one.
    const step = await lastStepOf(c.var.db, run.taskId);
    const points = entries.map(({ metrics, timestamp }): Entry => {
      const figures = new Map<string, Value>();
      for (const [name, value] of Object.entries(metrics ?? {})) {
        const number = numberOf(value);
        if (number === undefined) continue;
        const figure = systemFigure(name);
        figures.set(
          nameOf(figure.name),
          typeof number === "number" ? number * figure.times : number,
        );
      }
      return { step, ms: msOf(timestamp), metrics: figures };
    });
    await reportOn(c, run, toSegments(points));
  });
}

async function alert(c: Context<App>, alerts: z.infer<typeof alertCall>["alerts"]) {
  const [first] = alerts;
  if (!first) return;
  const named = namedOf(first);
  const open = () => openRunOf(c.var, named, { name: plainText(first.run, 300) });
  await withRun(c.var, named, open, async (run) => {
    const tail = await keepAlerts(c.var, run.taskId, alerts);
    await store(c, run, [], tail);
  });
}

/** Works on each run of a call in turn: mostly there is one. Throws ApiError 422 where they are too many. */
async function each<T extends Ref>(
  entries: T[],
  work: (entries: [T, ...T[]]) => Promise<void>,
): Promise<void> {
  const runs = byRun(entries);
  if (runs.length > MOST_RUNS)
    throw notValid([{ path: "", message: `names more than ${MOST_RUNS} runs` }], "The call");
  for (const run of runs) await work(run);
}

const write = allow("tasks:write", { box: true });

/** Routes that lie beside the ledger's own; each brings its own key. */
export const trackio = new Hono<App>()
  .onError(trackioProblem)
  .get("/version", (c) => c.json(VERSION))
  .post("/api/bulk_log", ...key, write, async (c) => {
    const { logs } = await argumentsOf(c, logCall);
    await each(logs, (entries) => log(c, entries));
    return c.json({ data: null });
  })
  .post("/api/bulk_log_system", ...key, write, async (c) => {
    const { logs } = await argumentsOf(c, logCall);
    await each(logs, (entries) => logSystem(c, entries));
    return c.json({ data: null });
  })
  .post("/api/bulk_alert", ...key, write, async (c) => {
    const { alerts } = await argumentsOf(c, alertCall);
    await each(alerts, (entries) => alert(c, entries));
    return c.json({ data: null });
  });
