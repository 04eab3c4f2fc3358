/*
 * The scheduled part of mirrors. Each minute has MIRROR_REQUESTS_A_MINUTE requests, shared between the mirrors
 * that have something to write and within each between its runs, so that a long run of the past delays
 * nothing that trains. A server that fails is left alone for ever longer times; nothing is lost meanwhile,
 * since the place of each run is kept beside it.
 */
import { sql } from "drizzle-orm";
import type { Config } from "../../env.ts";
import { chain } from "../../platform/db/batch.ts";
import type { Db } from "../../platform/db/client.ts";
import { fromNow, now } from "../../platform/db/time.ts";
import { faultsOf, type JobFaults } from "../../platform/faults.ts";
import { baseOf, MirrorFault, type Turn, TurnOver } from "./server.ts";
import {
  hasWork,
  type Mirror,
  postponeRun,
  REQUESTS_TO_MAKE,
  type RunToWrite,
  refuseRun,
  type Work,
  writeRun,
} from "./write.ts";

/** Mirrors looked at a minute, of which so many have a turn; and servers at once: a Worker has six connections. */
const MOST_MIRRORS = 1000;
const TURNS_A_MINUTE = 50;
const AT_ONCE = 4;
/** Tasks among which a mirror looks for new runs a minute. */
const TASKS_A_LOOK = 2000;
/** Runs under way of one mirror that a turn looks at. */
const RUNS_A_TURN = 50;
/** No request begins later in a minute than this. */
const SECONDS_A_MINUTE = 25;
/** How often what is left of the requests is shared out anew. */
const ROUNDS = 3;
/** After how long a turn without an outcome counts as broken off. */
const TURN_SEC = 55;
const FIRST_WAIT_SEC = 30;
const LONGEST_WAIT_SEC = 3600;

type DueMirror = Mirror & { failures: number };

const isDue = sql`r.state = 'open' and (r.next_at is null or r.next_at <= ${now})`;

/**
 * Opens runs that train again or have begun, finds new ones, and chooses the mirrors that have something to
 * write: those that waited longest first. A run that has not begun is `done` until it does.
 */
async function findDue(db: Db, sound: JobFaults["sound"]): Promise<DueMirror[]> {
  const live = await db.all<{ id: number }>(sql`
    select m.id from mirror m join user u on u.id = m.user_id
    where m.active and m.deleted_at is null and u.active and ${sound(sql`m.id`)}
    order by random() limit ${MOST_MIRRORS}`);
  if (live.length === 0) return [];
  const ids = sql`(select value from json_each(${JSON.stringify(live.map(({ id }) => id))}))`;
  const newest = sql`coalesce((select max(id) from training_task), 0)`;
  const { due } = await chain(db, {
    again: db.run(sql`
      update mirror_run set state = 'open', next_at = null
      where state = 'done' and +mirror_id in ${ids} and task_id in (
        select id from training_task where status = 'running' and deleted_at is null)`),
    // Those that were registered before the mirror was made.
    begun: db.run(sql`
      insert into mirror_run (mirror_id, task_id, user_id)
      select m.id, t.id, m.user_id
      from training_task t join mirror m on m.user_id = t.user_id and m.deleted_at is null and +m.id in ${ids}
      where t.status = 'running' and t.deleted_at is null
        and (m."groups" is null or t.experiment_group in (select value from json_each(m."groups")))
      on conflict do nothing`),
    found: db.run(sql`
      insert into mirror_run (mirror_id, task_id, user_id, state)
      select m.id, t.id, m.user_id, iif(t.status = 'pending' and t.attempt = 0, 'done', 'open')
      from mirror m join training_task t on t.id > m.up_to and t.id <= m.up_to + ${TASKS_A_LOOK}
      where m.id in ${ids} and t.user_id = m.user_id and t.deleted_at is null
        and (m."groups" is null or t.experiment_group in (select value from json_each(m."groups")))
      on conflict do nothing`),
    moved: db.run(sql`
      update mirror set up_to = min(up_to + ${TASKS_A_LOOK}, ${newest})
      where id in ${ids} and up_to < ${newest}`),
    due: db.all<DueMirror>(sql`
      select m.id, m.url, m.token, m.failures from mirror m
      where m.id in ${ids} and (m.next_at is null or m.next_at <= ${now})
        and exists (select 1 from mirror_run r where r.mirror_id = m.id and ${isDue})
      order by coalesce(m.next_at, ''), m.id limit ${TURNS_A_MINUTE}`),
  });
  return due;
}

type RunRow = Omit<RunToWrite, "trashed" | "uploading"> & {
  trashed: number;
  uploading: number;
};

/**
 * Takes a mirror for one turn, so that another call of the schedule leaves it alone meanwhile, and reads its runs
 * that may be written now, those that waited longest first. Null: another call has it.
 */
async function takeRuns(db: Db, mirrorId: number): Promise<RunToWrite[] | null> {
  const { taken, rows } = await chain(db, {
    taken: db.run(sql`
      update mirror set next_at = ${fromNow(TURN_SEC)}
      where id = ${mirrorId} and deleted_at is null and (next_at is null or next_at <= ${now})`),
    rows: db.all<RunRow>(sql`
    select r.task_id as "taskId", r.state, r.experiment_id as "experimentId", r.run_id as "runId",
      r.attempt, r.arrival, r.written, t.status, t.created_at as "createdAt", t.deleted_at is not null as trashed,
      t.version || '.' || t.attempt || '.' || iif(t.status in ('pending', 'running'), t.status, 'ended') as start,
      t.version || '.' || t.attempt || '.' || t.status || '.' || coalesce(t.finished_at, '') || '.' || coalesce(t.final_loss, '')
        || '.' || (select count(*) from weight w where w.task_id = t.id and w.kind = 'final' and w.state = 'complete') as end,
      coalesce(l.attempt, 0) as "lastAttempt", coalesce(l.received, 0) as "lastArrival",
      exists (select 1 from weight w where w.task_id = t.id and w.kind = 'final' and w.state = 'uploading'
        and w.deleted_at is null) as uploading
    from mirror_run r join training_task t on t.id = r.task_id
      left join task_attempt l on l.task_id = r.task_id
        and l.attempt = (select max(a.attempt) from task_attempt a where a.task_id = r.task_id)
    where r.mirror_id = ${mirrorId} and ${isDue}
    order by r.next_at, r.task_id limit ${RUNS_A_TURN}`),
  });
  if (taken.rowsAffected === 0) return null;
  return rows.map(({ trashed, uploading, ...row }) => ({
    ...row,
    trashed: trashed === 1,
    uploading: uploading === 1,
  }));
}

/** Leaves a server alone for a while after it failed, longer each time. */
const rest = (db: Db, mirror: DueMirror, { message, waitSec }: MirrorFault) =>
  db.run(sql`
    update mirror set failures = failures + 1, error = ${message},
      next_at = ${fromNow(Math.max(Math.min(FIRST_WAIT_SEC * 2 ** Math.min(mirror.failures, 20), LONGEST_WAIT_SEC), waitSec))}
    where id = ${mirror.id}`);

/** Notes that a mirror had its turn. */
const noteTurn = (db: Db, mirror: DueMirror) =>
  db.run(sql`
    update mirror set failures = 0, error = null, next_at = ${now}
    where id = ${mirror.id} and deleted_at is null`);

/**
 * One mirror's turn. Each run with something to write gets its share of the requests that are left, and what
 * one does not need is the next one's. Answers whether more is left to write.
 */
async function writeMirror(
  db: Db,
  config: Config,
  mirror: DueMirror,
  turn: Turn,
): Promise<boolean> {
  const runs = await takeRuns(db, mirror.id);
  if (runs === null) return false;
  const waiting = runs.filter(hasWork);
  const experiments: Work["experiments"] = new Map();
  let isOver = false;
  for (const [n, run] of waiting.entries()) {
    const share = Math.ceil(turn.left / (waiting.length - n));
    const least = run.runId === null ? REQUESTS_TO_MAKE + 1 : 1;
    const own = { left: Math.min(turn.left, Math.max(share, least)), until: turn.until };
    const given = own.left;
    try {
      await writeRun({ db, config, mirror, turn: own, experiments }, run);
    } catch (error) {
      if (error instanceof TurnOver) isOver = true;
      else if (!(error instanceof MirrorFault)) throw error;
      else if (error.of === "run")
        await refuseRun(db, mirror.id, run.taskId, error.status, error.message);
      else {
        await chain(db, {
          run: postponeRun(db, mirror.id, run.taskId, error.status, error.message),
          mirror: rest(db, mirror, error),
        });
        return false;
      }
    } finally {
      turn.left -= given - own.left;
    }
  }
  // Of more runs than one turn looks at, the others come first the next time.
  const seen = runs.length === RUNS_A_TURN ? runs.map(({ taskId }) => taskId) : [];
  await chain(db, {
    turn: noteTurn(db, mirror),
    seen:
      seen.length > 0 &&
      db.run(sql`
          update mirror_run set next_at = ${now}
          where mirror_id = ${mirror.id} and state = 'open' and (next_at is null or next_at <= ${now})
            and task_id in (select value from json_each(${JSON.stringify(seen)}))`),
  });
  return isOver || seen.length > 0;
}

/** Writes runs into mirrors, within the bounds of a minute. */
export async function writeMirrors(
  db: Db,
  config: Config,
  faults: JobFaults = faultsOf(db, "writeMirrors"),
): Promise<void> {
  const until = Date.now() + SECONDS_A_MINUTE * 1000;
  let left = config.MIRROR_REQUESTS_A_MINUTE;
  let due = await findDue(db, faults.sound);
  // What some mirrors leave of their shares is for those that have more to write.
  for (let round = 0; round < ROUNDS && due.length > 0 && Date.now() < until; round++) {
    const before = left;
    const share = Math.max(Math.floor(left / due.length), Math.min(left, REQUESTS_TO_MAKE + 1));
    const served = due.slice(0, Math.floor(left / share));
    const more: DueMirror[] = [];
    const serve = async (mirror: DueMirror) => {
      const turn = { left: share, until };
      try {
        await faults.each([mirror.id], async () => {
          if (await writeMirror(db, config, mirror, turn)) more.push(mirror);
        });
      } finally {
        left -= share - turn.left;
      }
    };
    // Mirrors into one server take turns, so that two of the same run do not both make it there.
    const servers = [...Map.groupBy(served, ({ url }) => baseOf(url)).values()];
    for (let n = 0; n < servers.length; n += AT_ONCE)
      await Promise.all(
        servers.slice(n, n + AT_ONCE).map(async (mirrors) => {
          for (const mirror of mirrors) await serve(mirror);
        }),
      );
    due = [...due.slice(served.length), ...more];
    if (left === before || left === 0) return;
  }
}
