import { sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { base64 } from "../platform/http/encode.ts";
import { decodeCursor, encodeCursor, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { describe, limitBody, validate } from "../platform/http/validate.ts";
import { secretsOf } from "../runs/config.ts";
import { markAnswer, taskAnswer, writableFields } from "../runs/fields.ts";
import { labelsOf } from "../runs/queue-options.ts";
import { anythingFits, claimTask } from "./claim.ts";

/** How often a waiting claim looks whether something fits. */
const LOOK_EVERY_MS = 2_500;
/** When a box that found nothing should ask again. */
const RETRY_AFTER_SEC = 15;

const claimBody = z.strictObject({
  agent: z
    .string()
    .trim()
    .min(1)
    .max(200)
    .describe(
      "The slot that asks, such as `vast-17/gpu0`: unique among the slots of a key. Asking again before the first heartbeat gives the same task.",
    ),
  labels: labelsOf(50)
    .default([])
    .describe("The labels that the box offers: all labels of a task must be among them."),
  gpu: z
    .strictObject({
      name: z.string().max(500).nullish(),
      memory_gb: z.number().min(0).max(100_000).nullish().describe("The memory of the slot's GPU."),
      count: z.int().min(0).nullish(),
    })
    .nullish(),
  cuda_version: writableFields.cuda_version.nullish(),
  node_info: writableFields.node_info.nullish(),
  hourly_price: writableFields.hourly_price
    .nullish()
    .describe("Default: the price that the box was enrolled with."),
  wait_sec: z
    .number()
    .min(0)
    .max(25)
    .default(0)
    .describe("How long to wait for a task if there is none; the service looks every 2.5 s."),
});

const claimAnswer = z.object({
  task: taskAnswer.nullable(),
  attempt: z
    .int()
    .nullable()
    .describe("Name this attempt in each heartbeat, in each upload and in the finish."),
  own: z.boolean().nullable().describe("Whether the task belongs to the user whose key asks."),
  served_by: z
    .int()
    .describe("The user whose key asks: the `uploaded_by` of files from this owner's boxes."),
  config: z
    .object({
      format: z.string(),
      path: z.string().nullable(),
      sha256: z.string(),
      base64: z.string().describe("The trainer's file, byte for byte."),
      secrets: z.array(markAnswer),
    })
    .nullable(),
  dataset_file: z
    .object({ path: z.string().nullable(), base64: z.string(), secrets: z.array(markAnswer) })
    .nullable()
    .describe("The trainer's separate dataset file."),
  dialect: z.string().nullable().describe("The dialect of somebody's own that it was read by."),
  lease_sec: z
    .number()
    .nullable()
    .describe("The claim ends this long after the last heartbeat; then another box gets the task."),
  heartbeat_interval_sec: z.number(),
  retry_after_sec: z.number().nullable().describe("When to ask again if there was no task."),
  waiting: z
    .object({
      ready: z.int().describe("The number of tasks that a box of this owner may pull now."),
      need_memory: z
        .int()
        .describe("The number of these that need more GPU memory than the slot has."),
      need_labels: z
        .int()
        .describe("The number of these that need labels that the slot does not have."),
      runs: z
        .enum(["own", "all"])
        .describe(
          "Whose tasks are counted and given: `own`: those of the key's user; `all`: everyone's, for a box that an admin enrolled with `shared`.",
        ),
    })
    .nullable()
    .describe("Why there was no task."),
});

const waitsFor = z.object({
  not_before: z.string().nullable().describe("The task waits until this time."),
  tasks: z
    .array(z.object({ task_id: z.int(), status: z.string().nullable() }))
    .describe("Tasks that must succeed first, at most 20; status null: deleted."),
});

const queueItem = z
  .object({
    position: z.int().describe("The place in the whole list, in the order of priority, then age."),
    state: z
      .enum(["ready", "waiting", "blocked"])
      .describe(
        "blocked: a task that this one depends on has failed, or was cancelled or deleted.",
      ),
    waits_for: waitsFor,
    task_id: z.int(),
    task_name: z.string(),
    user: z.string(),
    experiment_group: z.string().nullable(),
    priority: z.int(),
    labels: z.array(z.string()),
    min_gpu_memory_gb: z.int(),
    attempt: z.int().describe("The number of attempts so far."),
    max_attempts: z.int(),
    created_at: z.string(),
  })
  .meta({ id: "QueueItem" });

const listQuery = z.strictObject({
  ...pageQuery,
  user: z.string().max(100).optional().describe("A user's name, or `me`."),
});

/** A waiting task as the list reads it; what is JSON there is still text. */
type QueueRow = Omit<z.infer<typeof queueItem>, "position" | "state" | "waits_for" | "labels"> & {
  labels: string;
  queue_waiting: number;
  queue_due_at: string | null;
  open_tasks: string;
};

const openTasks = sql`(
  select json_group_array(json_object('task_id', o.depends_on, 'status', o.status)) from (
    select d.depends_on, iif(t.deleted_at is null, t.status, null) as status
    from task_dependency d left join training_task t on t.id = d.depends_on
    where d.task_id = training_task.id and d.met = 0 order by d.depends_on limit 20) o)`;

/** An item of the list, `before` others standing ahead of the page. */
const toItem =
  (before: number) =>
  (
    { labels, queue_waiting, queue_due_at, open_tasks, ...row }: QueueRow,
    n: number,
  ): z.infer<typeof queueItem> => {
    const open: z.infer<typeof waitsFor>["tasks"] = JSON.parse(open_tasks);
    const stuck = open.some(({ status }) => status !== "pending" && status !== "running");
    return {
      position: before + n + 1,
      state: queue_waiting === 0 ? "ready" : stuck ? "blocked" : "waiting",
      waits_for: { not_before: queue_due_at, tasks: open },
      ...row,
      labels: JSON.parse(labels),
    };
  };

export const queue = new Hono<App>()
  .post(
    "/claim",
    describe({
      summary: "Pull a task",
      description:
        "Gives the best fitting task of the key's own user. A box that an admin enrolled with `shared` gets tasks of all users: first of the user with the fewest queued tasks running, then of the user served least recently. Among that user's tasks the highest priority comes first, then the oldest. The task is `running` from then on, as a new attempt; heartbeats keep the claim.",
      tag: "Queue",
      answer: { schema: claimAnswer, description: "A task, or the reason why there is none." },
      errors: { 422: "Something in it is not valid." },
    }),
    allow("queue:claim", { box: true }),
    limitBody(200_000),
    validate("json", claimBody),
    async (c) => {
      const body = c.req.valid("json");
      const { db, auth, config } = c.var;
      const claimer = {
        agent: body.agent,
        labels: body.labels,
        memoryGb: body.gpu?.memory_gb ?? 0,
        gpuInfo: body.gpu?.name ?? null,
        cudaVersion: body.cuda_version ?? null,
        hourlyPrice: body.hourly_price ?? null,
        nodeInfo: body.node_info ?? null,
      };
      const until = Date.now() + body.wait_sec * 1000;
      const gone = () => c.req.raw.signal.aborted || Date.now() >= until;
      for (;;) {
        const { found, waiting } = await claimTask(db, auth, claimer);
        if (found || gone()) {
          const secrets = found?.config && secretsOf(found.config);
          return c.json({
            task: found ? toWire(found.task) : null,
            attempt: found?.task.attempt ?? null,
            own: found ? found.task.userId === auth.userId : null,
            served_by: auth.userId,
            config: found?.config?.sha256
              ? {
                  format: found.config.format,
                  path: found.config.path,
                  sha256: found.config.sha256,
                  base64: base64(new Uint8Array(found.config.original)),
                  secrets: secrets?.config ?? [],
                }
              : null,
            dataset_file: found?.config?.datasetOriginal
              ? {
                  path: found.config.datasetPath,
                  base64: base64(new Uint8Array(found.config.datasetOriginal)),
                  secrets: secrets?.dataset ?? [],
                }
              : null,
            dialect: found?.config?.dialect ?? null,
            lease_sec: found ? config.LOST_AFTER_SEC : null,
            heartbeat_interval_sec: config.HEARTBEAT_INTERVAL_SEC,
            retry_after_sec: found ? null : RETRY_AFTER_SEC,
            waiting: found
              ? null
              : {
                  ready: waiting?.ready ?? 0,
                  need_memory: waiting?.memory ?? 0,
                  need_labels: waiting?.labels ?? 0,
                  runs: waiting?.all ? "all" : "own",
                },
          });
        }
        do {
          const rest = Math.max(0, until - Date.now());
          await new Promise((done) => setTimeout(done, Math.min(LOOK_EVERY_MS, rest)));
        } while (!gone() && !(await anythingFits(db, auth, claimer)));
      }
    },
  )
  .get(
    "/",
    describe({
      summary: "List waiting tasks",
      description:
        "In the order of priority, then age. The next task also depends on which user's turn it is.",
      tag: "Queue",
      answer: {
        schema: pageAnswer(queueItem),
        description: "A page.",
      },
      errors: { 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    validate("query", listQuery),
    async (c) => {
      const { limit, cursor, user: who } = c.req.valid("query");
      const { db, auth } = c.var;
      const list = `queue ${who === "me" ? auth.userId : (who ?? "")}`;
      const place = z.tuple([z.int(), z.int(), z.int()]);
      const [priority, id, before] = cursor ? decodeCursor(list, cursor, place) : [null, 0, 0];
      const rows = await db.all<QueueRow>(sql`
        select id as task_id, task_name, (select u.name from user u where u.id = user_id) as user,
          experiment_group, priority, labels, min_gpu_memory_gb, attempt, max_attempts, created_at,
          queue_waiting, queue_due_at, ${openTasks} as open_tasks
        from training_task indexed by ${sql.raw(who === undefined ? "training_task_queue" : "training_task_queue_user")}
        where queue_waiting is not null and status = 'pending' and deleted_at is null
          ${
            who === undefined
              ? sql``
              : sql`and user_id = ${who === "me" ? auth.userId : sql`(select id from user where name = ${who})`}`
          }
          ${priority === null ? sql`` : sql`and priority <= ${priority} and (priority < ${priority} or id > ${id})`}
        order by priority desc, id limit ${limit + 1}`);
      const items = rows.slice(0, limit).map(toItem(before));
      const last = items.at(-1);
      return c.json({
        items,
        next_cursor:
          rows.length > limit && last
            ? encodeCursor(list, [last.priority, last.task_id, last.position])
            : null,
      });
    },
  );
