/*
 * Runs as trackers' clients know them: found again by the tracker's project and its own id of the run, made
 * where there is none, or adopted where the ledger's own client records the run already.
 */
import { and, eq, isNull, sql } from "drizzle-orm";
import type { Context } from "hono";
import type { Config } from "../env.ts";
import type { Segment } from "../metrics/points.ts";
import { reportable } from "../platform/auth/access.ts";
import { chain } from "../platform/db/batch.ts";
import { type trackers, trainingTask } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { ApiError, notFound, refuse } from "../platform/http/problem.ts";
import { cutText } from "../platform/http/text.ts";
import { redactText } from "../platform/secrets/redact.ts";
import { addSettings } from "../runs/late-settings.ts";
import { readRegistration, registerTask } from "../runs/register.ts";
import { type Report, report } from "../runs/report.ts";
import type { JsonValue } from "../shared/json.ts";
import { runFields } from "../shared/run-fields.ts";
import { fieldsOf } from "./settings.ts";

type Tracker = (typeof trackers)[number];
type Vars = Pick<App["Variables"], "db" | "auth" | "config" | "joins">;

/**
 * A run by the names that the tracker's client gives it. `byName`: `run` may be its name instead of its id, as in
 * what Trackio's client kept on disk during an outage.
 */
export type Named = { tracker: Tracker; project: string; run: string; byName?: boolean };
/** A run of the ledger; `alone` where the tracker's client alone records it. */
export type Known = {
  taskId: number;
  alone: boolean;
  /** The run's attempt as of the last report: naming it saves a row. */
  attempt?: number;
};

const MOST_KNOWN = 10_000;
/**
 * Where runs were found, for each configuration: plain data, which saves a round trip a call. Whether the
 * caller may report on a run is asked by each statement that reports.
 */
const known = new WeakMap<Config, Map<string, Known>>();

const cacheOf = ({ config, auth, joins }: Vars, { tracker, project, run }: Named) => {
  const cache = known.get(config) ?? new Map<string, Known>();
  known.set(config, cache);
  const key = JSON.stringify([auth.keyId, auth.box, joins ?? null, tracker, project, run]);
  return { cache, key };
};

function remember(vars: Vars, named: Named, found: Known): Known {
  const { cache, key } = cacheOf(vars, named);
  cache.set(key, found);
  for (const oldest of cache.keys()) {
    if (cache.size <= MOST_KNOWN) break;
    cache.delete(oldest);
  }
  return found;
}

/** Forgets where a run was found, after the ledger said that it is not there. */
const forgetRun = (vars: Vars, named: Named) => {
  const { cache, key } = cacheOf(vars, named);
  cache.delete(key);
};

/**
 * Calls `work` with the run, once more where it was found in memory, and is not there any more or has a later
 * attempt.
 */
export async function withRun<T>(
  vars: Vars,
  named: Named,
  open: () => Promise<Known>,
  work: (run: Known) => Promise<T>,
): Promise<T> {
  try {
    return await work(await open());
  } catch (error) {
    if (!(error instanceof ApiError) || (error.status !== 404 && error.code !== "superseded"))
      throw error;
    forgetRun(vars, named);
    return work(await open());
  }
}

/** Text that a tracker's client sends, without secrets and at most so long. */
export const plainText = (text: string, longest: number): string =>
  cutText(redactText(text, "text").text, 0, longest);

/** The run that the caller's client names, or that was handed down with its key; null where there is none yet. */
export async function findRun(vars: Vars, named: Named): Promise<Known | null> {
  const { cache, key } = cacheOf(vars, named);
  const before = cache.get(key);
  if (before) return before;
  const { db, auth, joins } = vars;
  const { tracker, project, run, byName } = named;
  if (joins !== undefined) return remember(vars, named, await joinRun(vars, named, joins));
  const [row] = await db.all<{ task_id: number; alone: number }>(sql`
    select r.task_id, r.alone from tracker_run r indexed by tracker_run_name
      cross join training_task on training_task.id = r.task_id
    where r.user_id = ${auth.userId} and r.tracker = ${tracker} and r.project = ${project}
      and ${byName ? sql`(r.run = ${run} or ${trainingTask.taskName} = ${run})` : sql`r.run = ${run}`}
      and training_task.deleted_at is null and ${reportable(auth)}
    order by ${byName ? sql`r.run = ${run} desc,` : sql``} r.task_id desc limit 1`);
  return row ? remember(vars, named, { taskId: row.task_id, alone: row.alone === 1 }) : null;
}

/** Adopts the run that was handed down with the key. Throws ApiError 404 where the caller may not report on it. */
async function joinRun(
  { db, auth }: Vars,
  { tracker, project, run }: Named,
  joins: number,
): Promise<Known> {
  const where = and(eq(trainingTask.id, joins), isNull(trainingTask.deletedAt), reportable(auth));
  const { rows } = await chain(db, {
    joined: db.run(sql`
      insert into tracker_run (task_id, tracker, user_id, project, run, alone)
      select id, ${tracker}, ${auth.userId}, ${project}, ${run}, 0 from training_task where ${where}
      on conflict do nothing`),
    rows: db.all<{ alone: number }>(sql`
      select r.alone from tracker_run r cross join training_task on training_task.id = r.task_id
      where r.task_id = ${joins} and r.tracker = ${tracker} and ${where}`),
  });
  const [row] = rows;
  if (!row) throw notFound("own-task", { id: joins });
  return { taskId: joins, alone: row.alone === 1 };
}

/** What a tracker's client says of a run when it makes it. */
export type About = {
  name: string;
  config?: Record<string, JsonValue> | null;
  tags?: Record<string, string>;
  notes?: string;
};

/** The registration of a run, with its settings as the file that a trainer's reader may know. */
export const registrationOf = (
  { tracker, project, run }: Named,
  { name, config, tags, notes }: About,
  hash: string,
) =>
  readRegistration(
    {
      task_name: cutText(name, 0, runFields.task_name.longest) || run,
      experiment_group: cutText(project, 0, runFields.experiment_group.longest) || undefined,
      ...(config &&
        Object.keys(config).length > 0 && {
          ...fieldsOf(config),
          config: {
            text: JSON.stringify(config, null, 2),
            format: "json",
            path: `${tracker}.json`,
          },
        }),
      ...(tags && Object.keys(tags).length > 0 && { tags }),
      ...(notes && { notes }),
    },
    hash,
  );

/**
 * The run that the caller's client names; makes it where there is none. Settings that come later are added to
 * a run that has none. Throws ApiError: 404 of a handed-down run that is not the caller's, 409 of one in the
 * trash, 403 where there is no room.
 */
export async function openRunOf(vars: Vars, named: Named, about: About): Promise<Known> {
  const found = await findRun(vars, named);
  const identity = `${named.tracker}\n${named.project}\n${named.run}`;
  if (found) {
    if (found.alone && about.config && Object.keys(about.config).length > 0)
      await addSettings(vars, found.taskId, await registrationOf(named, about, identity));
    return found;
  }
  const { db, auth } = vars;
  // The same run, asked for at once from two sides, is one.
  const key = `${named.tracker}:${await sha256Hex(identity)}`;
  const { task } = await registerTask(vars, await registrationOf(named, about, identity), key);
  if (task.deletedAt !== null) throw refuse("conflict", { case: "trash", task: task.id });
  await db.run(sql`
    insert into tracker_run (task_id, tracker, user_id, project, run, alone)
    values (${task.id}, ${named.tracker}, ${auth.userId}, ${named.project}, ${named.run}, 1)
    on conflict do nothing`);
  return remember(vars, named, { taskId: task.id, alone: true });
}

/** Reports segments of a run; without any, that it is alive. */
export async function reportOn(
  c: Context<App>,
  run: Known,
  segments: Segment[],
  more: Pick<Report, "progress" | "tail"> = {},
): Promise<void> {
  for (const segment of segments.length ? segments : [{ metrics: [], rows: [] }]) {
    const { taskId, attempt } = run;
    run.attempt = (await report(c, { taskId, attempt, seq: null, segment, ...more })).attempt;
  }
}
