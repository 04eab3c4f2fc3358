import { and, eq, type SQL, sql } from "drizzle-orm";
import { audit } from "../platform/audit/audit.ts";
import { chain, ifChanged, ifUnchanged } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { taskConfig, trainingTask } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { Auth } from "../platform/http/caller.ts";
import { openClaimedAttempt } from "../runs/attempts.ts";
import { taskColumns } from "../runs/queries.ts";
import { claimRun, renewLease } from "../runs/states.ts";
import type { JsonValue } from "../shared/json.ts";
import { isShared } from "./box-sharing.ts";

/** A box's slot that asks for work, and what it is. */
export type Claimer = {
  agent: string;
  labels: string[];
  memoryGb: number;
  gpuInfo: string | null;
  cudaVersion: string | null;
  hourlyPrice: number | null;
  nodeInfo: JsonValue;
};

/** The tasks that are ready where there is none to give, how many of them do not fit, and whose they are. */
type Waiting = { ready: number | null; memory: number | null; labels: number | null; all: 0 | 1 };

/** Cards report up to about 7 % less than the memory they are sold with. */
const TOLERANCE = 1.075;

/** The most memory that a task may ask for on a card which reports so much. */
export const memoryServed = (memoryGb: number) => Math.floor(memoryGb * TOLERANCE);

/** Whether a lane's labels are all among the box's: what is left of them when those are taken out. */
const labelsFit = (labels: string[]): SQL =>
  sql`trim(${labels.reduce<SQL>(
    (left, label) => sql`replace(${left}, ${JSON.stringify(label)}, '')`,
    sql`l.labels`,
  )}, '[],') = ''`;
const memoryFits = (memoryGb: number): SQL => sql`l.min_gpu_memory_gb <= ${memoryServed(memoryGb)}`;

/** Whether the caller's key is that of a box which runs everyone's tasks: see isShared(). */
const servesAll = (auth: Auth): SQL =>
  sql`exists (select 1 from box where key_id = ${auth.keyId} and ${isShared})`;

/** Whether the caller runs this user's tasks: any key its own user's, a shared box everyone's. */
const serves = (auth: Auth, userId: SQL): SQL =>
  sql`(${userId} = ${auth.userId} or ${servesAll(auth)})`;

/** The tasks a slot holds without a heartbeat yet: those whose claim's answer may have been lost. */
const silentTask = (auth: Auth, agent: string): SQL =>
  sql`(select h.id from training_task h join task_attempt a on a.task_id = h.id and a.attempt = h.attempt
    where h.key_id = ${auth.keyId} and h.agent = ${agent} and h.status = 'running' and h.deleted_at is null
      and a.received = 0 and a.status = 'running'
    order by h.id limit 1)`;

/**
 * The task to give: of the user who has the fewest queued tasks running, then of the one served
 * least recently; of that user's fitting lanes the head with the highest priority, then the oldest.
 * One comparable text does what ORDER BY would, whose sorter counts every row once more.
 */
const bestTask = (auth: Auth, claimer: Claimer): SQL => sql`(
  select head_task from (
    select l.head_task, min(printf('%09d %s %08d %016d', coalesce(t.running, 0), coalesce(t.served_at, ''),
      1000000 - l.head_priority, l.head_task))
    from queue_lane l left join queue_turn t on t.user_id = l.user_id
    where ${memoryFits(claimer.memoryGb)} and ${labelsFit(claimer.labels)} and ${serves(auth, sql`l.user_id`)}))`;

/**
 * Gives a slot the best task that fits it, in one atomic batch: the next attempt is opened for it.
 * A slot that asks again before its first heartbeat gets the same task and attempt. `waiting`
 * counts the ready tasks where there is none to give.
 */
export async function claimTask(db: Db, auth: Auth, claimer: Claimer) {
  const { agent, gpuInfo, cudaVersion, nodeInfo } = claimer;
  const offered = JSON.stringify(claimer.labels);
  const held = silentTask(auth, agent);
  const slot = and(
    eq(trainingTask.keyId, auth.keyId),
    eq(trainingTask.agent, agent),
    sql`${trainingTask.status} = 'running'`,
  );
  const hourlyPrice = sql`coalesce(${claimer.hourlyPrice}, (select hourly_price from box where key_id = ${auth.keyId}))`;
  const {
    answer: [answer],
  } = await chain(db, {
    claimed: claimRun(db, sql`id = (select ${bestTask(auth, claimer)} where ${held} is null)`, {
      keyId: auth.keyId,
      agent,
      gpuInfo,
      cudaVersion,
      hourlyPrice,
      nodeInfo,
    }),
    // A slot that asks again renews its lease; CASE looks for the task only then.
    renewed: ifUnchanged("claimed", (unchanged) =>
      renewLease(db, sql`id = case when ${unchanged} then ${held} end`),
    ),
    attempt: openClaimedAttempt(db, slot),
    noted: ifChanged("attempt", (opened) =>
      audit(db, auth, "task.claim", sql`select ${held} as id where ${opened}`, { agent }),
    ),
    // Written when it pulled something, or offers something else than before: not each time it asks.
    // The entry just made names the task: looking for it again would cost rows.
    box: ifChanged("noted", (pulled) =>
      db.run(sql`
      update box set claimed_at = iif(${pulled}, ${now}, claimed_at),
        claimed_task = iif(${pulled}, (select e.subject_id from (select max(id), subject_id from audit_entry) e), claimed_task),
        labels = ${offered}, gpu_memory_gb = ${claimer.memoryGb}
      where key_id = ${auth.keyId} and (${pulled} or labels is not ${offered} or gpu_memory_gb is not ${claimer.memoryGb})`),
    ),
    answer: db
      .select({
        task: taskColumns,
        config: {
          format: taskConfig.format,
          path: taskConfig.path,
          sha256: taskConfig.sha256,
          original: taskConfig.original,
          datasetPath: taskConfig.datasetPath,
          datasetOriginal: taskConfig.datasetOriginal,
          secrets: taskConfig.secrets,
          dialect: taskConfig.dialect,
        },
        waiting: sql<string | null>`case when slot.held is null then (
          select json_object('ready', sum(l.ready), 'memory', sum(iif(${memoryFits(claimer.memoryGb)}, 0, l.ready)),
            'labels', sum(iif(${labelsFit(claimer.labels)}, 0, l.ready)), 'all', serving.everyone)
          from (select ${servesAll(auth)} as everyone) serving
            left join queue_lane l on l.user_id = ${auth.userId} or serving.everyone) end`,
      })
      .from(sql`(select ${held} as held) slot`)
      .leftJoin(trainingTask, sql`${trainingTask.id} = slot.held`)
      .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id)),
  });
  if (!answer) throw new Error("the claim's answer did not come back");
  const { task, config } = answer;
  const waiting: Waiting | null = answer.waiting === null ? null : JSON.parse(answer.waiting);
  return { found: task && { task, config }, waiting };
}

/** Whether there is a task that fits the slot: what a waiting claim looks for. */
export async function anythingFits(db: Db, auth: Auth, claimer: Claimer): Promise<boolean> {
  const [row] = await db.all(sql`
    select 1 from queue_lane l where ${memoryFits(claimer.memoryGb)} and ${labelsFit(claimer.labels)}
      and ${serves(auth, sql`l.user_id`)} limit 1`);
  return row !== undefined;
}
