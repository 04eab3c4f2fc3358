import { sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { apiKey, box } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { describe } from "../platform/http/validate.ts";
import { lastSeen } from "./box-seen.ts";
import { isShared } from "./box-sharing.ts";
import { memoryServed } from "./claim.ts";

const MOST_LANES = 200;
const MOST_BOXES = 100;
/** Where groups are looked for: the newest tasks, what waits and what runs, so many of each. */
const MOST_LOOKED_AT = 300;
const MOST_GROUPS = 50;
/** Tasks of these groups that are counted. */
const MOST_COUNTED = 5000;

const laneAnswer = z.object({
  user: z.string(),
  user_id: z.int(),
  labels: z.array(z.string()),
  min_gpu_memory_gb: z.int(),
  ready: z.int(),
  head_task: z.int().describe("The first task of the lane."),
  head_priority: z.int(),
  running: z.int().describe("The number of this user's queued tasks that are running."),
  served_at: z.string().nullable().describe("When a box last began a task of this user."),
  boxes: z.array(z.int()).describe("The boxes of `boxes` that may run these tasks."),
  missing_labels: z.array(z.string()).describe("Labels that none of the user's boxes offers."),
  short_of_memory: z.boolean().describe("Whether none of these boxes has enough GPU memory."),
});

const groupAnswer = z.object({
  experiment_group: z.string(),
  total: z.int(),
  waiting: z.int(),
  running: z.int(),
  success: z.int(),
  failed: z.int(),
  cancelled: z.int(),
  best_loss: z.number().nullable(),
  cost: z
    .number()
    .nullable()
    .describe("The cost of the attempts that have ended, as far as a price is known."),
  newest_task: z.int(),
});

type Lane = Omit<
  z.infer<typeof laneAnswer>,
  "boxes" | "missing_labels" | "short_of_memory" | "labels"
> & {
  labels: string;
};

/** The state of the whole queue: whose turn it is, on which boxes, and how far groups are. */
export const lanes = new Hono<App>()
  .get(
    "/lanes",
    describe({
      summary: "Who is next, and which boxes fit",
      description: `A lane holds a user's ready tasks with the same requirements. Lanes are in the order in which a box that meets the requirements of all would take them, at most ${MOST_LANES}. \`boxes\` are enrolled boxes whose key still works, the newest ${MOST_BOXES}: each offers what it stated when it last asked for a task. Agents with an ordinary key, which run only their own user's tasks, are not listed.`,
      tag: "Queue",
      answer: {
        schema: z.object({
          items: z.array(laneAnswer),
          boxes: z.array(
            z.object({
              id: z.int(),
              name: z.string(),
              labels: z
                .array(z.string())
                .nullable()
                .describe("null: the box has not asked for a task yet."),
              gpu_memory_gb: z.number().nullable(),
              busy: z.boolean(),
              last_seen_at: z.string(),
            }),
          ),
        }),
        description: "The lanes.",
      },
    }),
    allow("tasks:read"),
    async (c) => {
      const { db } = c.var;
      const { lanes, rows } = await chain(db, {
        lanes: db.all<Lane>(sql`
          select l.user_id, u.name as user, l.labels, l.min_gpu_memory_gb, l.ready, l.head_task, l.head_priority,
            coalesce(t.running, 0) as running, t.served_at
          from queue_lane l join user u on u.id = l.user_id left join queue_turn t on t.user_id = l.user_id
          order by coalesce(t.running, 0), coalesce(t.served_at, ''), l.head_priority desc, l.head_task limit ${MOST_LANES}`),
        rows: db
          .select({
            id: box.id,
            name: box.name,
            userId: box.userId,
            shared: isShared,
            labels: box.labels,
            gpuMemoryGb: box.gpuMemoryGb,
            busy: sql<number>`exists (select 1 from training_task t where t.key_id = ${box.keyId} and t.status = 'running' and t.agent is not null)`,
            lastSeenAt: lastSeen,
          })
          .from(box)
          .innerJoin(
            apiKey,
            sql`${apiKey.id} = ${box.keyId} and (${apiKey.expiresAt} is null or ${apiKey.expiresAt} > ${now})`,
          )
          .where(sql`${box.revokedAt} is null`)
          .orderBy(sql`${box.id} desc`)
          .limit(MOST_BOXES),
      });
      const items = lanes.map((lane) => {
        const labels: string[] = JSON.parse(lane.labels);
        // One that has not asked for a task yet has said nothing of itself.
        const serving = rows.filter(
          (b) => b.labels !== null && (b.shared || b.userId === lane.user_id),
        );
        const enough = (memoryGb: number | null) =>
          memoryServed(memoryGb ?? 0) >= lane.min_gpu_memory_gb;
        return {
          ...lane,
          labels,
          boxes: serving
            .filter(
              (b) => enough(b.gpuMemoryGb) && labels.every((label) => b.labels?.includes(label)),
            )
            .map((b) => b.id),
          missing_labels: labels.filter((label) => !serving.some((b) => b.labels?.includes(label))),
          short_of_memory: !serving.some((b) => enough(b.gpuMemoryGb)),
        };
      });
      return c.json({
        items,
        boxes: rows.map(({ userId: _, shared: __, busy, ...b }) =>
          toWire({ ...b, busy: busy === 1 }),
        ),
      });
    },
  )
  .get(
    "/groups",
    describe({
      summary: "How far groups of queued tasks are",
      description: `Experiment groups, such as sweeps, with queued tasks among the newest ${MOST_LOOKED_AT} tasks, among those that wait, or among those that run; the newest first, at most ${MOST_GROUPS}.`,
      tag: "Queue",
      answer: {
        schema: z.object({
          items: z.array(groupAnswer),
          complete: z
            .boolean()
            .describe(
              `false: these groups have more than ${MOST_COUNTED} tasks; so many were counted.`,
            ),
        }),
        description: "The groups.",
      },
    }),
    allow("tasks:read"),
    async (c) => {
      const most = sql`limit ${MOST_LOOKED_AT}`;
      const queued = sql`priority is not null and deleted_at is null and experiment_group is not null`;
      const rows = await c.var.db.all<z.infer<typeof groupAnswer>>(sql`
        with looked(g, id) as (
          select experiment_group, id from (select * from training_task order by id desc ${most}) where ${queued}
          union all select * from (select experiment_group, id from training_task indexed by training_task_queue
            where queue_waiting is not null and status = 'pending' and deleted_at is null order by priority desc, id ${most})
          union all select * from (select experiment_group, id from training_task indexed by training_task_running
            where status = 'running' and agent is not null and deleted_at is null ${most})),
        chosen as materialized (
          select g from looked where g is not null group by g order by max(id) desc limit ${MOST_GROUPS}),
        counted as (
          select t.experiment_group, t.status, t.final_loss, t.cost, t.id
          from chosen cross join training_task t indexed by training_task_queued_group
            on t.experiment_group = chosen.g and t.priority is not null and t.deleted_at is null
          limit ${MOST_COUNTED})
        select experiment_group, count(*) as total, sum(status = 'pending') as waiting, sum(status = 'running') as running,
          sum(status = 'success') as success, sum(status = 'failed') as failed, sum(status = 'cancelled') as cancelled,
          min(iif(status = 'success', final_loss, null)) as best_loss, sum(cost) as cost, max(id) as newest_task
        from counted group by experiment_group order by newest_task desc`);
      return c.json({
        items: rows,
        complete: rows.reduce((sum, { total }) => sum + total, 0) < MOST_COUNTED,
      });
    },
  );
