/*
 * Writes one run into a mirror, step by step: what the other server answered is noted before the next step,
 * so that an outage on either side repeats one request at most. Each repeat is harmless: a run is looked for by
 * its marks before it is made, settings are compared with those that are there, and MLflow keeps a value of
 * the same metric, step and time once.
 */
import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Config } from "../../env.ts";
import { type ChunkText, nextChunks, segmentsBehind } from "../../metrics/read.ts";
import type { Db } from "../../platform/db/client.ts";
import { type mirror, mirrorRun, type statuses } from "../../platform/db/schema.ts";
import { fromNow, now } from "../../platform/db/time.ts";
import type { JsonValue } from "../../shared/json.ts";
import { type Facts, mlflowStatus, type Pair, readFacts, tag } from "./facts.ts";
import { batchesOf, type Written } from "./points.ts";
import { type Answer, ask, MirrorFault, type Turn, TurnOver } from "./server.ts";

/** Pairs in one request: as many as MLflow takes. */
const PAIRS_A_BATCH = 100;
/** Bytes of points that one look at the database reads. */
const BYTES_A_READ = 400_000;
/** Requests that it takes to make a run; none is made with fewer left. */
export const REQUESTS_TO_MAKE = 4;
/** How long a run that waits for a box, or has files under way, is left alone. */
const PAUSE_MIN = 5;

/** What `mirror_run.written` keeps: signs of what was written last, and the place within a heartbeat. */
type Noted = { start?: string; end?: string; skip?: number };

/** A run on its way, with what of it decides on the next step. */
export type RunToWrite = {
  taskId: number;
  state: (typeof mirrorRun.$inferSelect)["state"];
  experimentId: string | null;
  runId: string | null;
  attempt: number;
  arrival: number;
  written: string | null;
  status: (typeof statuses)[number];
  /** Signs of the facts as they are now. */
  start: string;
  end: string;
  createdAt: string;
  trashed: boolean;
  /** The newest attempt, and how many heartbeats it has. */
  lastAttempt: number;
  lastArrival: number;
  uploading: boolean;
};

export type Mirror = Pick<typeof mirror.$inferSelect, "id" | "url" | "token">;

/** One run's turn with one mirror. */
export type Work = {
  db: Db;
  config: Config;
  mirror: Mirror;
  turn: Turn;
  experiments: Map<string, string>;
};

const isEnded = (status: RunToWrite["status"]) => status !== "pending" && status !== "running";

/** Whether heartbeats lie behind the place. */
const hasNews = ({ attempt, arrival, lastAttempt, lastArrival }: RunToWrite) =>
  lastAttempt > attempt || (lastAttempt === attempt && lastArrival > arrival);

/** Whether a run needs anything of the other server now. */
export function hasWork(run: RunToWrite): boolean {
  const noted: Noted = JSON.parse(run.written ?? "{}");
  if (run.trashed || run.runId === null || hasNews(run) || noted.start !== run.start) return true;
  return run.status !== "running";
}

const rowOf = (mirrorId: number, taskId: number, more?: SQL) =>
  and(eq(mirrorRun.mirrorId, mirrorId), eq(mirrorRun.taskId, taskId), more);

/** Notes a step that the other server has answered. */
async function note(
  { db, mirror }: Work,
  run: RunToWrite,
  change: Partial<{ [K in keyof typeof mirrorRun.$inferInsert]: unknown }>,
  more?: SQL,
) {
  await db
    .update(mirrorRun)
    .set({
      ...{ status: 200, error: null, tries: 0, writtenAt: now, nextAt: now },
      ...(change as Partial<typeof mirrorRun.$inferInsert>),
    })
    .where(rowOf(mirror.id, run.taskId, more));
}

/** Notes that the other server does not take the run: a person looks at it, and tries again. */
export const refuseRun = (
  db: Db,
  mirrorId: number,
  taskId: number,
  status: number | null,
  error: string,
) =>
  db
    .update(mirrorRun)
    .set({ state: "refused", status, error, tries: sql`tries + 1` })
    .where(rowOf(mirrorId, taskId));

/** Notes that the server as a whole failed at this run, which is not the first the next time. */
export const postponeRun = (
  db: Db,
  mirrorId: number,
  taskId: number,
  status: number | null,
  error: string,
) =>
  db
    .update(mirrorRun)
    .set({ status, error, tries: sql`tries + 1`, nextAt: now })
    .where(rowOf(mirrorId, taskId));

const textOf = (value: JsonValue | undefined) =>
  typeof value === "string" || typeof value === "number" ? String(value) : null;
const objectOf = (value: JsonValue | undefined): Answer =>
  typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Answer) : {};

/** An id out of an answer, as MLflow makes them. Throws MirrorFault where it is none. */
function idOf(value: JsonValue | undefined, what: string): string {
  const id = textOf(value);
  if (id === null || !/^[\w-]{1,64}$/.test(id))
    throw new MirrorFault("server", 200, `answered without the id of the ${what}`);
  return id;
}

const send = (work: Work, path: string, body: object) =>
  ask(work.mirror, work.config, work.turn, path, { body });

/** The id of the run's experiment there, which is made if there is none. */
async function findExperiment(work: Work, name: string): Promise<string> {
  const known = work.experiments.get(name);
  if (known) return known;
  const find = async () => {
    const query = { experiment_name: name };
    const answer = await ask(work.mirror, work.config, work.turn, "experiments/get-by-name", {
      query,
    });
    return objectOf(answer.experiment);
  };
  let found: Answer | null;
  try {
    found = await find();
  } catch (error) {
    if (!(error instanceof MirrorFault) || error.code !== "RESOURCE_DOES_NOT_EXIST") throw error;
    found = null;
  }
  if (found === null) {
    try {
      const made = await send(work, "experiments/create", { name });
      found = { experiment_id: made.experiment_id ?? null };
    } catch (error) {
      // Somebody else has just made it.
      if (!(error instanceof MirrorFault) || error.code !== "RESOURCE_ALREADY_EXISTS") throw error;
      found = await find();
    }
  }
  if (found.lifecycle_stage === "deleted")
    throw new MirrorFault(
      "run",
      200,
      `cannot be written: its experiment ${name} is deleted there. Restore it, then try again`,
    );
  const id = idOf(found.experiment_id, "experiment");
  work.experiments.set(name, id);
  return id;
}

/** The settings and tags that a run has there. */
function pairsOf(run: Answer, of: "params" | "tags"): Map<string, string> {
  const list = objectOf(run.data)[of];
  const pairs = Array.isArray(list) ? list.map(objectOf) : [];
  return new Map(
    pairs.map(({ key, value }) => [textOf(key ?? null) ?? "", textOf(value ?? null) ?? ""]),
  );
}

/** The run as the other server has it: found by its marks, or made. */
async function findRun(work: Work, facts: Facts, experimentId: string): Promise<Answer> {
  const filter = facts.marks.map(({ key, value }) => `tags."${key}" = '${value}'`).join(" AND ");
  const found = await send(work, "runs/search", {
    experiment_ids: [experimentId],
    filter,
    run_view_type: "ACTIVE_ONLY",
    max_results: 1,
  });
  const [there] = Array.isArray(found.runs) ? found.runs : [];
  if (there) return objectOf(there);
  const made = await send(work, "runs/create", {
    experiment_id: experimentId,
    user_id: facts.userName,
    run_name: facts.name,
    start_time: facts.startMs,
    tags: [...facts.marks, ...facts.tags].slice(0, PAIRS_A_BATCH),
  });
  return objectOf(made.run);
}

/** Sends pairs, as many requests as it takes. */
async function sendPairs(work: Work, runId: string, params: Pair[], tags: Pair[]) {
  for (let n = 0; n < Math.max(params.length, tags.length); n += PAIRS_A_BATCH) {
    await send(work, "runs/log-batch", {
      run_id: runId,
      params: params.slice(n, n + PAIRS_A_BATCH),
      tags: tags.slice(n, n + PAIRS_A_BATCH),
    });
  }
}

/** Makes the run there, or brings its settings, tags and state up to date. */
async function writeFacts(work: Work, run: RunToWrite, facts: Facts, noted: Noted) {
  let there: Answer;
  if (run.runId === null) {
    if (work.turn.left < REQUESTS_TO_MAKE) throw new TurnOver();
    run.experimentId = await findExperiment(work, facts.group);
    there = await findRun(work, facts, run.experimentId);
    run.runId = idOf(objectOf(there.info).run_id, "run");
    await note(work, run, { experimentId: run.experimentId, runId: run.runId });
  } else {
    const query = { run_id: run.runId };
    there = objectOf((await ask(work.mirror, work.config, work.turn, "runs/get", { query })).run);
  }
  const params = pairsOf(there, "params");
  const tags = pairsOf(there, "tags");
  // A parameter cannot change there, so that its new value becomes a tag.
  const changed = facts.params
    .filter(({ key, value }) => params.has(key) && params.get(key) !== value)
    .map(({ key, value }) => tag(`lora_ledger.param.${key}`, value));
  await sendPairs(
    work,
    run.runId,
    facts.params.filter(({ key }) => !params.has(key)),
    [...facts.tags, ...changed].filter(({ key, value }) => tags.get(key) !== value),
  );
  const info = objectOf(there.info);
  const status = mlflowStatus[run.status];
  if (!isEnded(run.status) && (info.status !== status || info.run_name !== facts.name))
    await send(work, "runs/update", { run_id: run.runId, status, run_name: facts.name });
  noted.start = run.start;
  // The end is written anew once there is another one.
  if (!isEnded(run.status)) delete noted.end;
  await note(work, run, { written: JSON.stringify(noted) });
}

/** Writes the points that are not there yet. */
async function writePoints(work: Work, run: RunToWrite, noted: Noted) {
  const { db } = work;
  let place: Written = { attempt: run.attempt, arrival: run.arrival, skip: noted.skip ?? 0 };
  const timeless = Date.parse(run.createdAt);
  for (;;) {
    const chunks = await db.all<ChunkText>(nextChunks(run.taskId, place, undefined, BYTES_A_READ));
    if (chunks.length === 0) break;
    const behind = chunks.map((chunk) => ({
      attempt: chunk.attempt,
      segments: segmentsBehind(chunk, place),
    }));
    const before = place;
    for (const batch of batchesOf(behind, place, timeless)) {
      if (batch.metrics.length > 0)
        await send(work, "runs/log-batch", { run_id: run.runId, metrics: batch.metrics });
      place = batch.place;
      noted.skip = place.skip;
      const { attempt, arrival } = place;
      await note(
        work,
        run,
        {
          attempt,
          arrival,
          written: JSON.stringify(noted),
          points: sql`points + ${batch.points}`,
        },
        // Two that write the same run at once do not set each other back.
        sql`(attempt, arrival) <= (${attempt}, ${arrival})`,
      );
      Object.assign(run, { attempt, arrival });
    }
    if (place === before) break;
  }
  // Heartbeats without points are in no chunk.
  if (!hasNews(run)) return;
  const [attempt, arrival] = [run.lastAttempt, run.lastArrival];
  await note(work, run, { attempt, arrival }, sql`(attempt, arrival) <= (${attempt}, ${arrival})`);
  Object.assign(run, { attempt, arrival });
}

/** Writes a run's end, and closes its row unless more has come meanwhile. */
async function writeEnd(
  work: Work,
  run: RunToWrite,
  facts: () => Promise<Facts | null>,
  noted: Noted,
) {
  if (noted.end !== run.end) {
    const found = await facts();
    if (!found || run.runId === null) return;
    await sendPairs(work, run.runId, [], found.end.tags);
    await send(work, "runs/update", {
      run_id: run.runId,
      status: mlflowStatus[run.status],
      ...(found.end.endMs !== null && { end_time: found.end.endMs }),
      run_name: found.name,
    });
    noted.end = run.end;
  }
  const { attempt, arrival, taskId } = run;
  await note(
    work,
    run,
    {
      written: JSON.stringify(noted),
      // Files that are still under way get their links when they have arrived.
      state: run.uploading ? "open" : "done",
      nextAt: run.uploading ? fromNow(PAUSE_MIN, "minutes") : null,
    },
    sql`state = 'open' and not exists (
      select 1 from task_attempt a where a.task_id = ${taskId}
        and (a.attempt > ${attempt} or (a.attempt = ${attempt} and a.received > ${arrival})))
      and exists (select 1 from training_task t where t.id = ${taskId} and t.status = ${run.status})`,
  );
}

/** Writes of a run all that the turn has room for. Throws TurnOver and MirrorFault. */
export async function writeRun(work: Work, run: RunToWrite): Promise<void> {
  if (run.trashed)
    throw new MirrorFault("run", null, "is no longer written: it is in the trash of the ledger");
  const noted: Noted = JSON.parse(run.written ?? "{}");
  let read: Promise<Facts | null> | undefined;
  const facts = () => {
    read ??= readFacts(work.db, run.taskId, work.config.PUBLIC_URL);
    return read;
  };
  if (run.runId === null || noted.start !== run.start) {
    const found = await facts();
    // It was purged meanwhile, and its row goes too.
    if (!found) return;
    await writeFacts(work, run, found, noted);
  }
  if (hasNews(run)) await writePoints(work, run, noted);
  if (isEnded(run.status)) await writeEnd(work, run, facts, noted);
  else if (run.status === "pending")
    await note(work, run, { nextAt: fromNow(PAUSE_MIN, "minutes") });
}
