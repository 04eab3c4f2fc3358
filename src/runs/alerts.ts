import { type SQL, sql } from "drizzle-orm";
import type { Config } from "../env.ts";
import { meanOf, pointsOf, type Segment } from "../metrics/points.ts";
import { lossNames } from "../metrics/read.ts";
import type { Db } from "../platform/db/client.ts";
import type { statuses } from "../platform/db/schema.ts";
import { ago, now } from "../platform/db/time.ts";
import { recordEvent, taskEvent } from "../platform/events.ts";

/**
 * Statements that record how an attempt ended, read from the task at the end of the
 * batch. A cancelled run raises no alert, but one that its guard ended has lost its loss.
 */
export function endEvents(
  db: Db,
  taskId: number,
  attempt: number,
  status: (typeof statuses)[number],
) {
  if (status === "pending" || status === "running") return [];
  // An end that is reported again long after is no news, also once its event was purged.
  const ended = sql`id = ${taskId} and attempt = ${attempt} and status = ${status} and deleted_at is null
    and finished_at > ${ago(1, "days")}`;
  const how = sql`json_object('final_loss', final_loss, 'total_duration_sec', total_duration_sec, 'cost', cost,
    'failure_reason', failure_reason, 'exit_code', exit_code, 'error_message', substr(error_message, 1, 2000))`;
  // A run too short for a second heartbeat has nobody else to tell of its lost loss.
  const odd = (name: string) => sql`summary ->> ${`$."${name}".nonfinite_count`}`;
  const diverged = taskEvent(
    db,
    "loss_diverged",
    sql`${ended} and ${status === "cancelled" ? sql`guard is not null` : sql`true`} and (
      select coalesce(${sql.join(lossNames.map(odd), sql`, `)}) from task_attempt where task_id = ${taskId} and attempt = ${attempt}
    ) > 0`,
  );
  if (status === "cancelled") return [diverged];
  if (status === "failed") return [diverged, taskEvent(db, "failed", ended, how)];
  // The first run of a group is no news. The condition is that of the index training_task_best.
  const best = sql`(
    select o.final_loss from training_task o
    where o.experiment_group = t.experiment_group and o.status = 'success' and o.final_loss is not null
      and o.experiment_group is not null and o.deleted_at is null and o.id <> t.id
    order by o.final_loss limit 1)`;
  return [
    diverged,
    taskEvent(db, "finished", ended, how),
    recordEvent(
      db,
      "new_best",
      "task",
      sql`
        select id, attempt, user_id, experiment_group, task_name,
          json_object('final_loss', final_loss, 'best_before', best), ''
        from (select t.*, ${best} as best from training_task t where ${ended})
        where final_loss < best`,
    ),
  ];
}

/** Losses before a jump can be told from the noise of a beginning. */
const POINTS_BEFORE = 20;
/** Losses after which the level that a jump is measured by has all but forgotten older ones. */
const MEMORY = 100;

/**
 * Watches a run by its heartbeats. `event` records, ahead of the statements that store the
 * heartbeat, what it says against the state so far: that a run under way has lost its loss (NaN or
 * infinity, or a mean over LOSS_DIVERGED_MULTIPLE times its level), or that a box in touch made no
 * step for STALLED_AFTER_MIN. `noted` is the state with this heartbeat, for the task's `watch`, and
 * `newest` whether none after it came first; `nonfiniteFromStep` where its loss is lost: all in the row that a heartbeat
 * writes anyway.
 */
export function prepareWatch(
  config: Config,
  seq: number | null,
  segment: Segment,
  progress?: { step?: number | null; unstepped?: boolean | null } | null,
) {
  const metric = lossNames.find((name) => segment.metrics.includes(name));
  const losses = metric ? pointsOf(segment, metric) : [];
  const values = losses.flatMap(([, , , value]) => (typeof value === "number" ? [value] : []));
  const mean = values.length ? meanOf(values) : null;
  const odd = losses.find(([, , , value]) => typeof value !== "number");
  const steps = [segment.rows.at(-1)?.[0], progress?.step].filter((n) => typeof n === "number");
  // Where nobody knows the steps, what orders the points still shows that the run goes on; no step is told.
  const unstepped = progress?.unstepped === true;
  const step = steps.length ? Math.max(...steps) : null;

  // Another attempt begins anew. The attempt is 0 until the first heartbeat has opened it.
  const kept = (field: string) =>
    sql`case when watch ->> 'attempt' = max(attempt, 1) then watch ->> ${field} end`;
  const moved = step === null ? sql`false` : sql`${step} > coalesce(${kept("step")}, -1)`;
  // What has no number is as new as it gets.
  const newest = seq === null ? sql`true` : sql`${seq} > coalesce(${kept("seq")}, 0)`;
  const share = 1 - 0.5 ** ((4 * values.length) / MEMORY);
  const noted = sql<string>`json_object(
    'attempt', max(attempt, 1),
    'seq', max(coalesce(${kept("seq")}, 0), ${seq ?? 0}),
    'step', case when ${moved} then ${step} else ${kept("step")} end,
    'reached', ${unstepped ? sql`-1` : sql`case when ${moved} then ${step} else coalesce(watch ->> 'reached', watch ->> 'step') end`},
    'at', case when ${moved} then ${now} else coalesce(${kept("at")}, ${now}) end,
    'points', coalesce(${kept("points")}, 0) + ${values.length},
    'loss', ${mean === null ? kept("loss") : sql`coalesce((1 - ${share}) * ${kept("loss")} + ${share} * ${mean}, ${mean})`})`;

  function event(db: Db, mine: SQL | undefined) {
    // The next heartbeat or the end of a run that has not begun reports it: opening it costs more rows.
    const running = sql`${mine} and status = 'running'`;
    if (odd)
      return taskEvent(
        db,
        "loss_diverged",
        running,
        sql`json_object('metric', ${metric}, 'step', ${unstepped ? null : odd[0]}, 'value', ${odd[3]})`,
      );
    if (mean !== null)
      return taskEvent(
        db,
        "loss_diverged",
        sql`${running} and ${kept("points")} >= ${POINTS_BEFORE} and ${kept("loss")} > 0
          and ${mean} > ${config.LOSS_DIVERGED_MULTIPLE} * ${kept("loss")}`,
        sql`json_object('metric', ${metric}, 'step', ${unstepped ? null : losses.at(-1)?.[0]}, 'value', ${mean}, 'level_before', ${kept("loss")})`,
      );
    return taskEvent(
      db,
      "stalled",
      sql`${running} and not (${moved}) and heartbeat_at > ${ago(2, "minutes")} and ${kept("at")} < ${ago(config.STALLED_AFTER_MIN, "minutes")}`,
      sql`json_object('step', ${unstepped ? null : kept("step")}, 'since', ${kept("at")})`,
    );
  }
  const nonfiniteFromStep =
    odd && !unstepped ? sql`min(coalesce(nonfinite_from_step, ${odd[0]}), ${odd[0]})` : undefined;
  return { event, noted, newest, nonfiniteFromStep };
}

/** What a client foresees of the disk that checkpoints are written to. */
export type DiskFacts = { free_bytes: number; needed_bytes: number };

/**
 * A statement, ahead of those that store the heartbeat, that tells of a run under way whose next checkpoint
 * will find too little room; none where nothing is foreseen, as in each heartbeat of a client that does not look.
 */
export const diskEvent = (
  db: Db,
  mine: SQL | undefined,
  disk: DiskFacts | null | undefined,
  newest: SQL,
) =>
  disk && disk.free_bytes < disk.needed_bytes
    ? taskEvent(
        db,
        "disk_full",
        sql`${mine} and status = 'running' and ${newest}`,
        sql`json_object('free_bytes', ${disk.free_bytes}, 'needed_bytes', ${disk.needed_bytes})`,
      )
    : undefined;
