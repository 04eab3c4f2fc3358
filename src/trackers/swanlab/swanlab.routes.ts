/*
 * SwanLab's protocol. Its client takes the host alone of SWANLAB_API_HOST and adds `/api`, so that these routes
 * lie beside the ledger's own. docs/trackers.md has what of it is answered, and what becomes of it.
 */
import { sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import type * as z from "zod";
import { describeFiles } from "../../files/describe.ts";
import { receiveFile } from "../../files/receive.ts";
import { reportable } from "../../platform/auth/access.ts";
import { allow } from "../../platform/auth/middleware.ts";
import { baseUrl } from "../../platform/http/base-url.ts";
import type { App } from "../../platform/http/context.ts";
import { ApiError, notFound } from "../../platform/http/problem.ts";
import { limitBody } from "../../platform/http/validate.ts";
import { finishRun } from "../../runs/finish.ts";
import { addSettings } from "../../runs/late-settings.ts";
import { pointAtFinal } from "../../runs/states.ts";
import type { JsonValue } from "../../shared/json.ts";
import { type Entry, nameOf, numberOf, stepOf, toSegments } from "../points.ts";
import {
  findRun,
  type Known,
  type Named,
  openRunOf,
  plainText,
  registrationOf,
  reportOn,
  withRun,
} from "../runs.ts";
import {
  bodyOf,
  filesCall,
  metricsCall,
  newRun,
  newState,
  profile,
  savedCall,
  states,
  swanlabProblem,
} from "./form.ts";
import {
  checkFileToken,
  makeFileToken,
  makeToken,
  withFileToken,
  withKey,
  withToken,
} from "./key.ts";
import { addLines } from "./logs.ts";

/** Bytes of one call: the client sends 10,000 records at most. */
const call = [withToken, limitBody(8_000_000)] as const;
const write = allow("tasks:write", { box: true });
const read = allow("tasks:read", { box: true });
const files = allow("weights:write", { box: true });

/** The ledger's group as a project of SwanLab: there is one of every name. */
function projectOf(c: Context<App>, name: string) {
  const user = c.var.auth.userName;
  const time = "2020-01-01T00:00:00.000Z";
  return {
    ...{ cuid: name, name, path: `${user}/${name}`, visibility: "PRIVATE", description: "" },
    group: { username: user, name: user, type: "PERSON", role: "ADMIN" },
    ...{ createdAt: time, updatedAt: time, _count: { experiments: 1 }, projectLabels: [] },
  };
}

const projectParam = (c: Context<App>) => plainText(c.req.param("project") ?? "", 500);

/** A run as SwanLab's client reads it; its id for later calls is the task's number. */
function runAnswer(c: Context<App>, taskId: number, project: string, slug: string, name: string) {
  return {
    ...{ cuid: String(taskId), slug, name, description: "", state: "RUNNING", show: true },
    ...{ createdAt: new Date().toISOString(), updatedAt: new Date().toISOString() },
    ...{ colors: ["#587ad2", "#587ad2"], labels: [] },
    path: `${c.var.auth.userName}/${project}/${taskId}`,
    user: { username: c.var.auth.userName },
  };
}

const namedOf = (project: string, run: string): Named => ({ tracker: "swanlab", project, run });

/**
 * The run of a later call, by the number that the client got for it: the one that was handed down with its key,
 * if any was. Throws ApiError 404.
 */
function numberedRun(c: Context<App>, id: string): Known {
  const { joins } = c.var;
  const taskId = /^[1-9]\d{0,14}$/.test(id) ? Number(id) : 0;
  if (taskId === 0 || (joins !== undefined && joins !== taskId))
    throw notFound("own-task", { id: taskId });
  return { taskId, alone: joins === undefined };
}

/** Settings as the client sends them: each with its place and its description. */
const valuesOf = (config: Record<string, unknown>): Record<string, JsonValue> =>
  Object.fromEntries(
    Object.entries(config).map(([name, one]) => [
      name,
      // JSON.parse made it.
      (one && typeof one === "object" && "value" in one ? one.value : one) as JsonValue,
    ]),
  );

type Metrics = z.infer<typeof metricsCall>;

async function storeScalars(
  c: Context<App>,
  run: Known,
  metrics: Extract<Metrics, { type: "scalar" }>["metrics"],
) {
  const entries = metrics.flatMap(({ key, index, data, create_time }): Entry[] => {
    const value = numberOf(data);
    const ms = create_time ? Date.parse(create_time) : Number.NaN;
    return value === undefined
      ? []
      : [
          {
            step: stepOf(index),
            ms: Number.isNaN(ms) ? null : ms,
            metrics: new Map([[nameOf(key), value]]),
          },
        ];
  });
  const last = entries.reduce((most, { step }) => Math.max(most, step), 0);
  const progress = run.alone && entries.length ? { step: last } : null;
  await reportOn(c, run, toSegments(entries), { progress });
}

/** Where a file of the client lies among the run's files. */
const filenameOf = (path: string) =>
  ["swanlab", ...path.split("/")]
    .map((part) => part.replace(/[\p{Cc}\\\ufffd]/gu, "_"))
    .filter((part) => part !== "" && part !== "." && part !== "..")
    .join("/")
    .slice(0, 255);

const store = async (c: Context<App>, body: Metrics) => {
  const run = numberedRun(c, body.experimentId);
  if (body.type === "scalar") return storeScalars(c, run, body.metrics);
  if (body.type === "media") {
    const facts = body.metrics.flatMap(({ index, data, more }) =>
      data.map((path, n) => ({
        filename: filenameOf(path),
        step: stepOf(index),
        prompt: more?.[n]?.caption ? plainText(more[n].caption, 2000) : null,
      })),
    );
    await describeFiles(c.var.db, c.var.auth, run.taskId, facts);
    return;
  }
  const lines = body.metrics.map(({ epoch, message }) => ({
    epoch,
    message: plainText(message, 10_000),
  }));
  // The ledger's own client has the console of a run that it records.
  const tail = lines.length && run.alone ? await addLines(c.var.db, run.taskId, lines) : null;
  await reportOn(c, run, [], { tail });
};

/** Addresses to which the client puts files of a run. */
async function addressesOf(c: Context<App>, id: string, paths: string[]): Promise<string[]> {
  const { taskId } = numberedRun(c, id);
  const base = baseUrl(c.var.config, c.req.url);
  const urls: string[] = [];
  for (const path of paths) {
    const name = filenameOf(path);
    const token = await makeFileToken(c, taskId, name);
    urls.push(`${base}/swanlab/file/${token}/${taskId}/${encodeURIComponent(name)}`);
  }
  return urls;
}

/** Whether SwanLab's client alone records a run of the caller's. Throws ApiError 404. */
async function isAlone(c: Context<App>, taskId: number) {
  const [row] = await c.var.db.all<{ project: string; run: string; alone: number }>(sql`
    select r.project, r.run, r.alone from tracker_run r
      cross join training_task on training_task.id = r.task_id
    where r.task_id = ${taskId} and r.tracker = 'swanlab' and training_task.deleted_at is null
      and ${reportable(c.var.auth)}`);
  if (!row) throw notFound("own-task", { id: taskId });
  return row.alone ? row : null;
}

/** Adds settings to a run that SwanLab's client alone records. */
async function addConfig(c: Context<App>, run: Known, config: Record<string, JsonValue>) {
  const row = await isAlone(c, run.taskId);
  if (!row) return;
  const named = namedOf(row.project, row.run);
  await addSettings(c.var, run.taskId, await registrationOf(named, { name: "", config }, ""));
}

/** Ends a run. One that the ledger's own client records is its to end, and one that has ended stays so. */
async function end(c: Context<App>, taskId: number, status: "success" | "failed" | "cancelled") {
  if (!(await isAlone(c, taskId))) return;
  try {
    await finishRun(c, { taskId, attempt: undefined, status });
  } catch (error) {
    if (!(error instanceof ApiError) || error.code !== "already-finished") throw error;
  }
}

async function open(c: Context<App>) {
  const project = projectParam(c);
  const body = await bodyOf(c, newRun);
  const slug = body.cuid || crypto.randomUUID();
  const named = namedOf(project, plainText(slug, 200));
  const before = await findRun(c.var, named);
  const name = plainText(body.name || slug, 300);
  const labels = body.labels?.map((label) => plainText(label.name, 200)) ?? [];
  const about = {
    name,
    notes: body.description ? plainText(body.description, 20_000) : undefined,
    tags: Object.fromEntries(labels.filter(Boolean).map((label) => [label, ""])),
  };
  const opening = () => openRunOf(c.var, named, about);
  const taskId = await withRun(c.var, named, opening, async (run) => {
    await reportOn(c, run, []);
    return run.taskId;
  });
  return c.json(runAnswer(c, taskId, project, slug, name), before ? 200 : 201);
}

const ok = (c: Context<App>) => c.json({});

/** Routes that lie beside the ledger's own; each brings its own key. */
export const swanlab = new Hono<App>()
  .onError(swanlabProblem)
  .post("/login/api_key", withKey, limitBody(10_000), async (c) => {
    const { sid, expiresAt } = await makeToken(c);
    return c.json({
      ...{ sid, expiredAt: expiresAt.toISOString() },
      userInfo: { username: c.var.auth.userName, name: c.var.auth.userName },
    });
  })
  .get("/project/:user/:project", ...call, read, (c) => c.json(projectOf(c, projectParam(c))))
  .post("/projects/:user", ...call, write, async (c) => {
    const { name } = await c.req.json<{ name?: unknown }>();
    return c.json(projectOf(c, plainText(String(name ?? ""), 500)));
  })
  .post("/project/:user/:project/experiment", ...call, write, open)
  .post("/project/:user/:project/runs", ...call, write, open)
  .get("/project/:user/:project/runs/:run", ...call, read, async (c) => {
    const project = projectParam(c);
    const slug = c.req.param("run");
    const found = await findRun(c.var, namedOf(project, slug));
    if (!found) throw notFound("own-task", { id: Number(slug) || 0 });
    return c.json(runAnswer(c, found.taskId, project, slug, slug));
  })
  .put("/project/:user/:project/runs/:run/profile", ...call, write, async (c) => {
    const { config } = await bodyOf(c, profile);
    const run = numberedRun(c, c.req.param("run"));
    if (config && Object.keys(config).length > 0) await addConfig(c, run, valuesOf(config));
    return ok(c);
  })
  .put("/project/:user/:project/runs/:run/state", ...call, write, async (c) => {
    const { state } = await bodyOf(c, newState);
    const { taskId } = numberedRun(c, c.req.param("run"));
    if (state !== "RUNNING") await end(c, taskId, states[state]);
    return ok(c);
  })
  .get("/house/metrics/summaries/:project/:run", ...call, read, ok)
  .post("/house/experiments/:run/heartbeat", ...call, write, async (c) => {
    await reportOn(c, numberedRun(c, c.req.param("run")), []);
    return ok(c);
  })
  .post("/house/metrics", ...call, write, async (c) => {
    await store(c, await bodyOf(c, metricsCall));
    return ok(c);
  })
  .post("/experiment/:run/columns", ...call, write, ok)
  .post("/projects/:user/:project/series", ...call, write, ok)
  .post("/resources/presigned/put", ...call, files, async (c) => {
    const { experimentId, paths } = await bodyOf(c, filesCall);
    return c.json({ urls: await addressesOf(c, experimentId, paths) });
  })
  .post("/experiment/:run/files/prepare", ...call, files, async (c) => {
    const { files: saved } = await bodyOf(c, savedCall);
    const urls = await addressesOf(
      c,
      c.req.param("run"),
      saved.map(({ path }) => path),
    );
    return c.json({ urls, files: urls.map((url, n) => ({ path: saved[n]?.path, url })) });
  })
  .post("/experiment/:run/files/complete", ...call, files, ok);

/** The addresses of files, which take bytes and no cookie. */
export const swanlabFiles = new Hono<App>()
  .onError(swanlabProblem)
  .put("/file/:token/:run/:name", withFileToken, files, async (c) => {
    const { taskId } = numberedRun(c, c.req.param("run"));
    const filename = c.req.param("name");
    await checkFileToken(c, taskId, filename);
    await receiveFile(c, pointAtFinal, { taskId, filename, kind: "sample" });
    return ok(c);
  });
