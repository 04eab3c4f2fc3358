// Every route that takes a key: who may call it on whose rows, and which audit entry it leaves.
// test/rights.test.ts asks each of them with every kind of key, and fails on a route without a line.
import { sql } from "drizzle-orm";
import type { Db } from "../src/platform/db/client.ts";
import {
  apiKey,
  auditExport,
  box,
  dataset,
  delivery,
  dialect,
  event,
  mirror,
  mirrorRun,
  model,
  modelShare,
  modelVersion,
  retentionRule,
  savedView,
  storedObject,
  trainingTask,
  user,
  webhook,
  weight,
  type weightKinds,
} from "../src/platform/db/schema.ts";
import { now } from "../src/platform/db/time.ts";
import { sha256Hex } from "../src/platform/http/hash.ts";
import type { Scope } from "../src/shared/scopes.ts";
import type { Sent } from "./harness.ts";
import { unique } from "./unique.ts";

/** Where nothing listens: what is sent there fails at once, on this machine. */
const receiver = "http://127.0.0.1:9/hook";

/** Whose rows a request of the table is about: that user's, made by that key. */
export type Owner = { userId: number; keyId: number };

/** Where the rows go. */
type Where = {
  db: Db;
  bindings: { BUCKET: { put(key: string, bytes: string): Promise<unknown> } };
};

/** Makes rows of one owner as they would stand in the database. */
export function rowsOf(ledger: Where, owner: Owner) {
  const { db } = ledger;
  const first = <T>([row]: T[]): T => {
    if (!row) throw new Error("the row did not come back");
    return row;
  };
  async function task(more: Partial<typeof trainingTask.$inferInsert> = {}) {
    const made = await db
      .insert(trainingTask)
      .values({
        userId: owner.userId,
        keyId: owner.keyId,
        taskName: "of the table",
        registrationKey: unique("table:"),
        registrationHash: "h",
        ...more,
      })
      .returning({ id: trainingTask.id });
    return first(made).id;
  }
  /** A file of five bytes that are really there, of a task given or new; `state` as the weight and its object have it. */
  async function file(
    state: "uploading" | "complete" = "complete",
    kind: (typeof weightKinds)[number] = "sample",
    of?: { taskId: number; attempt: number },
  ) {
    const { taskId, attempt } = of ?? {
      taskId: await task({ status: "running", attempt: 1 }),
      attempt: 1,
    };
    const bytes = "bytes";
    const facts = { size: bytes.length, sha256: await sha256Hex(bytes), state };
    const objectKey = unique("w/table/");
    await ledger.bindings.BUCKET.put(objectKey, bytes);
    const object = first(
      await db
        .insert(storedObject)
        .values({ objectKey, taskId, ...facts })
        .returning(),
    );
    const made = await db
      .insert(weight)
      .values({
        taskId,
        attempt,
        objectId: object.id,
        keyId: owner.keyId,
        kind,
        filename: `${state}.bin`,
        ...facts,
      })
      .returning({ id: weight.id });
    return { id: first(made).id, taskId, objectId: object.id, ...facts };
  }
  /** The packed console of an attempt; gives its id. */
  async function consoleLog() {
    const { id } = await file("complete", "state");
    await db.update(weight).set({ filename: "console.log.gz" }).where(sql`id = ${id}`);
    return id;
  }
  const checks = { verified: "size", min_samples: 0, task_success: false, metrics: [] } as const;
  /** A model without checks; gives its name. */
  async function newModel() {
    const name = unique("model-");
    const made = await db
      .insert(model)
      .values({
        name,
        nameKey: name,
        checks: { ...checks, metrics: [] },
        protectedAliases: [],
        userId: owner.userId,
      })
      .returning();
    return first(made);
  }
  /** A new model with so many versions in that state; gives the path of the first. */
  async function version(state: "draft" | "in_review" | "approved" = "draft", count = 1) {
    const { id: modelId, name } = await newModel();
    for (let number = 1; number <= count; number++) {
      const { id: weightId, taskId, objectId, size, sha256 } = await file("complete", "final");
      await db.update(storedObject).set({ verified: "sha256" }).where(sql`id = ${objectId}`);
      const stood = { modelId, weightId, taskId, objectId, size, sha256, userId: owner.userId };
      await db.insert(modelVersion).values({
        ...stood,
        number,
        filename: "notes.bin",
        state,
        approvedAt: state === "approved" ? "2026-01-01T00:00:00.000Z" : null,
      });
    }
    return { name, path: `/api/models/${name}/versions/1` };
  }
  async function hook() {
    const made = await db
      .insert(webhook)
      .values({ userId: owner.userId, name: "w", target: "slack", url: receiver })
      .returning({ id: webhook.id });
    return first(made).id;
  }
  /** A mirror, and the run that it has, if any. */
  async function mirrorOf(taskId?: number) {
    const made = await db
      .insert(mirror)
      .values({ userId: owner.userId, name: "m", url: receiver })
      .returning({ id: mirror.id });
    const { id } = first(made);
    if (taskId !== undefined)
      await db.insert(mirrorRun).values({ mirrorId: id, taskId, userId: owner.userId });
    return id;
  }
  /** What was given up on its way to a webhook. */
  async function deadLetter() {
    const told = await db
      .insert(event)
      .values({ kind: "failed", subject: "task", subjectId: await task(), name: "e" })
      .returning({ id: event.id });
    const made = await db
      .insert(delivery)
      .values({
        eventId: first(told).id,
        webhookId: await hook(),
        userId: owner.userId,
        state: "dead",
      })
      .returning({ id: delivery.id });
    return first(made).id;
  }
  return {
    owner,
    task,
    file,
    consoleLog,
    version,
    model: async () => (await newModel()).name,
    /** A rule that lets one file of its owner's go. */
    async rule() {
      const { taskId } = await file();
      await db.update(trainingTask).set({ status: "success" }).where(sql`id = ${taskId}`);
      const rule = { kinds: ["sample" as const], filter: `id = ${taskId}`, days: 0 };
      const made = await db
        .insert(retentionRule)
        .values({ name: "r", rule, userId: owner.userId })
        .returning();
      return `/api/storage/rules/${first(made).id}`;
    },
    /** A dialect of its owner's alone, or one that everyone's files are read by. */
    async dialect(shared = false) {
      const made = await db
        .insert(dialect)
        .values({ userId: owner.userId, name: unique("dialect-"), text: "name", shared })
        .returning({ id: dialect.id });
      return first(made).id;
    },
    /** A view of its owner's alone, or one that everyone may open. */
    async view(shared = false) {
      const made = await db
        .insert(savedView)
        .values({ userId: owner.userId, name: unique("view "), query: "status=failed", shared })
        .returning({ id: savedView.id });
      return first(made).id;
    },
    /** A file of the oldest audit entry that is in none yet; the entry stays. */
    async auditFile() {
      const objectKey = unique("audit/2026/");
      await ledger.bindings.BUCKET.put(objectKey, "gz");
      const times = { firstAt: "2026-01-01T00:00:00.000Z", lastAt: "2026-01-01T00:00:00.000Z" };
      const firstId = sql<number>`(select coalesce(max(last_id), 0) + 1 from audit_export)`;
      const made = await db
        .insert(auditExport)
        .values({ ...times, firstId, lastId: firstId, entries: 1, objectKey, size: 2, sha256: "x" })
        .returning({ id: auditExport.id });
      return first(made).id;
    },
    noViews: () => db.delete(savedView).where(sql`user_id = ${owner.userId}`),
    async trashed(weightId: number) {
      await db.run(
        sql`update weight set deleted_at = '2026-01-01T00:00:00.000Z' where id = ${weightId}`,
      );
      return weightId;
    },
    async dataset() {
      const made = await db
        .insert(dataset)
        .values({ hash: unique("d") })
        .returning();
      return first(made).id;
    },
    async share() {
      const { id: modelId, name } = await newModel();
      const made = await db
        .insert(modelShare)
        .values({
          modelId,
          alias: "production",
          tokenHash: unique("h"),
          userId: owner.userId,
          expiresAt: "2100-01-01T00:00:00.000Z",
        })
        .returning();
      return `/api/models/${name}/shares/${first(made).id}`;
    },
    /** A model whose alias `trial` is, or was, on version 1; gives the alias's path. */
    async alias({ removed = false } = {}) {
      const { name } = await version();
      const version1 = sql`from model_version where model_id = (select id from model where name = ${name})`;
      await db.run(sql`
        insert into model_alias_move (model_id, alias, version_id, user_id) select model_id, 'trial', id, user_id ${version1}`);
      if (removed)
        await db.run(sql`
          insert into model_alias_move (model_id, alias, from_version_id, user_id) select model_id, 'trial', id, user_id ${version1}`);
      return `/api/models/${name}/aliases/trial`;
    },
    hook,
    deadLetter,
    async key() {
      const made = await db
        .insert(apiKey)
        .values({ jti: unique("jti"), userId: owner.userId, name: "k", scopes: ["tasks:read"] })
        .returning({ id: apiKey.id });
      return first(made).id;
    },
    async box() {
      const keys = await db
        .insert(apiKey)
        .values({ jti: unique("jti"), userId: owner.userId, name: "k", scopes: ["box"] })
        .returning({ id: apiKey.id });
      const made = await db
        .insert(box)
        .values({ userId: owner.userId, keyId: first(keys).id, name: "b", shared: false })
        .returning({ id: box.id });
      return first(made).id;
    },
    async user() {
      const made = await db
        .insert(user)
        .values({ name: unique("u") })
        .returning();
      return first(made).id;
    },
    /** One log point of the task's first attempt. */
    async curve(taskId: number) {
      await db.batch([
        db.run(sql`update training_task set status = 'running', attempt = 1 where id = ${taskId}`),
        db.run(
          sql`insert into task_attempt (task_id, attempt, received, points) values (${taskId}, 1, 1, 1)`,
        ),
        db.run(sql`insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, summary, blocks, points)
          values (${taskId}, 1, 1, 1, 1, 1, 1, 50, '{}', '{}', '[{"a":1,"q":1,"m":["loss"],"p":[[1,null,null,0.5]]}]')`),
      ]);
      return taskId;
    },
    mirror: mirrorOf,
    noMirrors: () =>
      db.run(sql`update mirror set deleted_at = ${now} where user_id = ${owner.userId}`),
    noHooks: () =>
      db.run(sql`update webhook set deleted_at = ${now} where user_id = ${owner.userId}`),
    async config(taskId: number) {
      await db.run(sql`insert into task_config (task_id, format, sha256, original)
        values (${taskId}, 'toml', 'x', x'61203d2031')`);
      return taskId;
    },
  };
}

export type Rows = ReturnType<typeof rowsOf>;

/** A request, and for lists the id of the row that its answer shows or hides. */
export type Asked = Sent & { path: string; shows?: number };

export type RouteRights = {
  /** What allow() asks for; null: any key. */
  scope: Scope | null;
  /** Further scopes that it asks for, so that no key with one alone passes. */
  also?: Scope[];
  /** Whether rented machines' keys may call it, on tasks that they registered or claimed. */
  box?: true;
  /**
   * Whose rows it reaches. `none`: it is about no one's. `read`: people reach all. `write`: one's
   * own, admins all. `key`: one's own, and all with the scope admin. `line`: the key that asks, and those it
   * made. `self`: the key that asks, and others are forbidden.
   * `others`: all but one's own.
   */
  reach: "none" | "read" | "write" | "key" | "line" | "self" | "others";
  /** A request that succeeds for whoever may; makes the rows it needs. */
  ask: (rows: Rows) => Asked | Promise<Asked>;
  /** Of the success; 200 unless said. */
  status?: number;
  /** What a row that is out of reach is answered with; 404 unless said. */
  hidden?: number;
  /** Whether it reaches tasks in the trash; all others hide them. */
  trash?: true;
  /** Of writes: the action of the one audit entry that each success leaves, or why it leaves none. */
  audit?: `${string}.${string}` | { none: string };
};

const post = (path: string, json: unknown = {}): Asked => ({ method: "POST", path, json });

/** A step of a version in that state on its way. */
const step =
  (state: "draft" | "in_review" | "approved", action: string, json: unknown = {}) =>
  async (rows: Rows) =>
    post(`${(await rows.version(state)).path}/${action}`, json);
/** A task that boxes may pull. */
export const queued = {
  priority: 0,
  labels: [],
  minGpuMemoryGb: 0,
  maxAttempts: 3,
  attemptLimit: 3,
  queueWaiting: 0,
};

/** Routes that take no key at all. */
export const openRoutes = [
  "GET /healthz",
  "GET /simple/",
  "GET /simple/:project/",
  "PUT /signed/:key{.+}",
  "GET /signed/:key{.+}",
  "POST /session",
  "POST /api/boxes/exchange",
  "DELETE /session",
  "GET /share/:token",
];

/** `METHOD /path` as the app registers it → its rights. */
export const routeTable: Record<string, RouteRights> = {
  "POST /api/users": {
    scope: "admin",
    reach: "none",
    ask: () => post("/api/users", { name: unique("new-") }),
    audit: "user.create",
  },
  "GET /api/users": { scope: "tasks:read", reach: "none", ask: () => ({ path: "/api/users" }) },
  "PATCH /api/users/:id": {
    scope: "admin",
    reach: "none",
    ask: async (rows) => ({
      method: "PATCH",
      path: `/api/users/${await rows.user()}`,
      json: { role: "viewer" },
    }),
    audit: "user.update",
  },
  "GET /api/me": { scope: null, reach: "none", ask: () => ({ path: "/api/me" }) },
  "GET /api/me/use": { scope: null, reach: "none", ask: () => ({ path: "/api/me/use" }) },
  "GET /api/me/preferences/alerts": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({ path: "/api/me/preferences/alerts" }),
  },
  "PUT /api/me/preferences/alerts": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({
      ...{ method: "PUT", path: "/api/me/preferences/alerts" },
      json: { value: { seen: 1 } },
    }),
    audit: { none: "how far somebody has read changes nothing for others" },
  },
  "GET /api/me/preferences/:name": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({ path: "/api/me/preferences/charts" }),
  },
  "PUT /api/me/preferences/:name": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({
      ...{ method: "PUT", path: "/api/me/preferences/charts" },
      json: { value: { smoothing: 0.5 } },
    }),
    audit: { none: "how somebody's own pages show what they show changes nothing for others" },
  },
  "GET /api/users/use": { scope: "admin", reach: "none", ask: () => ({ path: "/api/users/use" }) },
  "POST /api/keys": {
    scope: "keys:write",
    reach: "none",
    ask: () => post("/api/keys", { name: "k" }),
    audit: "key.create",
  },
  "GET /api/keys": {
    scope: "keys:read",
    reach: "key",
    ask: async (rows) => ({ path: "/api/keys", shows: await rows.key() }),
  },
  "POST /api/keys/:id/renew": {
    scope: null,
    reach: "self",
    ask: ({ owner }) => ({ method: "POST", path: `/api/keys/${owner.keyId}/renew` }),
    audit: "key.renew",
  },
  // Of a key that it made: src/platform/auth/sign-in-links.test.ts.
  "POST /api/keys/:id/link": {
    scope: "keys:write",
    reach: "line",
    ask: ({ owner }) => post(`/api/keys/${owner.keyId}/link`, {}),
    audit: "key.sign-in-link",
  },
  // A key may always revoke itself: test/security/keys.test.ts.
  "DELETE /api/keys/:id": {
    scope: "keys:write",
    reach: "key",
    ask: async (rows) => ({ method: "DELETE", path: `/api/keys/${await rows.key()}` }),
    audit: "key.revoke",
  },
  "GET /api/audit": { scope: "admin", reach: "none", ask: () => ({ path: "/api/audit" }) },
  "GET /api/audit/exports": {
    scope: "admin",
    reach: "none",
    ask: () => ({ path: "/api/audit/exports" }),
  },
  "GET /api/audit/exports/:id": {
    scope: "admin",
    reach: "none",
    ask: async (rows) => ({ path: `/api/audit/exports/${await rows.auditFile()}` }),
  },

  "POST /api/tasks": {
    scope: "tasks:write",
    box: true,
    reach: "none",
    ask: () => post("/api/tasks", { task_name: "new" }),
    audit: "task.register",
  },
  "GET /api/tasks": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => ({ path: "/api/tasks", shows: await rows.task() }),
  },
  "GET /api/tasks/export": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => ({ path: "/api/tasks/export?format=jsonl", shows: await rows.task() }),
  },
  "POST /api/tasks/bulk": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) =>
      post("/api/tasks/bulk", { ids: [await rows.task()], action: "delete", expect: 1 }),
    hidden: 409,
    audit: "task.delete",
  },
  "POST /api/tasks/:id/retry": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => post(`/api/tasks/${await rows.task({ status: "failed" })}/retry`),
    audit: "task.retry",
  },
  "POST /api/tasks/:id/requeue": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => post(`/api/tasks/${await rows.task()}/requeue`, { priority: 1 }),
    audit: "task.requeue",
  },
  "POST /api/boxes/enrol": {
    scope: "tasks:write",
    also: ["weights:write"],
    reach: "none",
    ask: () => post("/api/boxes/enrol"),
    audit: "box.enrol",
  },
  "GET /api/boxes": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => ({ path: "/api/boxes", shows: await rows.box() }),
  },
  "GET /api/boxes/:id/runs": {
    scope: "tasks:read",
    reach: "none",
    ask: async (rows) => ({ path: `/api/boxes/${await rows.box()}/runs` }),
  },
  "DELETE /api/boxes/:id": {
    scope: "tasks:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: `/api/boxes/${await rows.box()}` }),
    audit: "box.revoke",
  },
  "POST /api/sweeps": {
    scope: "tasks:write",
    reach: "none",
    ask: () =>
      post("/api/sweeps", {
        config: { text: "a = 1\n", format: "toml" },
        space: { a: [2] },
        experiment_group: "table",
      }),
    audit: "task.register",
  },
  "GET /api/queue": { scope: "tasks:read", reach: "none", ask: () => ({ path: "/api/queue" }) },
  "GET /api/queue/lanes": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({ path: "/api/queue/lanes" }),
  },
  "GET /api/queue/groups": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({ path: "/api/queue/groups" }),
  },
  "POST /api/queue/claim": {
    scope: "queue:claim",
    box: true,
    reach: "none",
    ask: async (rows) => {
      await rows.task(queued);
      return post("/api/queue/claim", { agent: unique("slot ") });
    },
    audit: "task.claim",
  },
  "GET /api/board": {
    scope: "tasks:read",
    reach: "read",
    ask: async () => ({ path: "/api/board" }),
  },
  "GET /api/board/usage": {
    scope: "tasks:read",
    reach: "read",
    ask: async () => ({ path: "/api/board/usage" }),
  },
  "GET /api/table": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => ({ path: "/api/table?fields=lora_rank", shows: await rows.task() }),
  },
  "GET /api/table/sparklines": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => {
      const id = await rows.curve(await rows.task());
      return { path: `/api/table/sparklines?ids=${id}`, shows: id };
    },
  },
  "GET /api/table/changes": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => {
      const id = await rows.task();
      return { path: `/api/table/changes?ids=${id}`, shows: id };
    },
  },
  "GET /api/tasks/:id": {
    scope: "tasks:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({ path: `/api/tasks/${await rows.task()}` }),
  },
  "PATCH /api/tasks/:id": {
    scope: "tasks:write",
    box: true,
    reach: "write",
    ask: async (rows) => ({
      method: "PATCH",
      path: `/api/tasks/${await rows.task()}`,
      json: { notes: "n" },
    }),
    audit: "task.update",
  },
  "DELETE /api/tasks/:id": {
    scope: "tasks:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: `/api/tasks/${await rows.task()}` }),
    audit: "task.delete",
  },
  "POST /api/tasks/:id/restore": {
    scope: "tasks:write",
    reach: "write",
    trash: true,
    ask: async (rows) => {
      const id = await rows.task({ deletedAt: "2026-01-01T00:00:00.000Z" });
      return { method: "POST", path: `/api/tasks/${id}/restore` };
    },
    audit: "task.restore",
  },
  "GET /api/tasks/:id/config": {
    scope: "tasks:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({ path: `/api/tasks/${await rows.config(await rows.task())}/config` }),
  },
  "GET /api/tasks/:id/reproduce": {
    scope: "tasks:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({ path: `/api/tasks/${await rows.task()}/reproduce` }),
  },
  "POST /api/tasks/:id/attempts": {
    scope: "tasks:write",
    box: true,
    reach: "write",
    ask: async (rows) => post(`/api/tasks/${await rows.task()}/attempts`),
    audit: "task.attempt",
  },
  "POST /api/tasks/:id/attempts/:attempt/logs": {
    scope: "tasks:write",
    box: true,
    reach: "write",
    ask: async (rows) =>
      post(`/api/tasks/${await rows.task({ importSource: "x" })}/attempts/1/logs`, {
        seq: 1,
        logs: [{ step: 1, metrics: { loss: 1 } }],
      }),
    audit: { none: "A curve comes in many parts; the import itself is noted." },
  },
  "GET /api/tasks/:id/archive": {
    scope: "tasks:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({ path: `/api/tasks/${await rows.task()}/archive` }),
  },
  "POST /api/tasks/:id/heartbeat": {
    scope: "tasks:write",
    box: true,
    reach: "write",
    ask: async (rows) => post(`/api/tasks/${await rows.task()}/heartbeat`, { attempt: 1, seq: 1 }),
    audit: { none: "A run says a thousand times that it is alive." },
  },
  "POST /api/tasks/:id/cancel": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({ method: "POST", path: `/api/tasks/${await rows.task()}/cancel` }),
    audit: "task.cancel",
  },
  "POST /api/tasks/:id/finish": {
    scope: "tasks:write",
    box: true,
    reach: "write",
    ask: async (rows) =>
      post(`/api/tasks/${await rows.task()}/finish`, { attempt: 1, status: "success" }),
    audit: "task.finish",
  },
  "GET /api/tasks/:id/curves": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => ({
      path: `/api/tasks/${await rows.curve(await rows.task())}/curves?metric=loss&metric=lr`,
    }),
  },
  "GET /api/tasks/:id/logs": {
    scope: "tasks:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({ path: `/api/tasks/${await rows.task()}/logs` }),
  },
  "GET /api/tasks/:id/best": {
    scope: "tasks:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({ path: `/api/tasks/${await rows.task()}/best` }),
  },
  "GET /api/tasks/:id/datasets": {
    scope: "tasks:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({ path: `/api/tasks/${await rows.task()}/datasets` }),
  },
  "PUT /api/tasks/:id/datasets": {
    scope: "tasks:write",
    box: true,
    reach: "write",
    ask: async (rows) => ({
      method: "PUT",
      path: `/api/tasks/${await rows.task()}/datasets`,
      json: { datasets: [{ name: "set" }] },
    }),
    audit: "task.datasets",
  },

  "POST /api/tasks/:id/weights": {
    scope: "weights:write",
    box: true,
    reach: "write",
    ask: async (rows) =>
      post(`/api/tasks/${await rows.task()}/weights`, {
        attempt: 1,
        filename: "a.safetensors",
        size: 5,
        sha256: "0".repeat(64),
        kind: "final",
      }),
    audit: "weight.announce",
  },
  "GET /api/weights": {
    scope: "weights:read",
    box: true,
    reach: "read",
    ask: async (rows) => {
      const { id, taskId } = await rows.file();
      return { path: `/api/weights?task_id=${taskId}`, shows: id };
    },
  },
  "GET /api/weights/:id": {
    scope: "weights:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({ path: `/api/weights/${(await rows.file()).id}` }),
  },
  "GET /api/weights/:id/upload": {
    scope: "weights:write",
    box: true,
    reach: "write",
    ask: async (rows) => ({ path: `/api/weights/${(await rows.file("uploading")).id}/upload` }),
  },
  "POST /api/weights/:id/complete": {
    scope: "weights:write",
    box: true,
    reach: "write",
    ask: async (rows) => post(`/api/weights/${(await rows.file("uploading")).id}/complete`),
    audit: "weight.complete",
  },
  "DELETE /api/weights/:id": {
    scope: "weights:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: `/api/weights/${(await rows.file()).id}` }),
    audit: "weight.delete",
  },
  "POST /api/weights/:id/restore": {
    scope: "weights:write",
    reach: "write",
    ask: async (rows) => {
      const { id } = await rows.file();
      return { method: "POST", path: `/api/weights/${await rows.trashed(id)}/restore` };
    },
    audit: "weight.restore",
  },
  "GET /api/weights/:id/download": {
    scope: "weights:read",
    box: true,
    reach: "read",
    ask: async (rows) => ({
      path: `/api/weights/${(await rows.file()).id}/download?redirect=false`,
    }),
  },
  "GET /api/weights/:id/console": {
    scope: "weights:read",
    reach: "read",
    ask: async (rows) => ({ path: `/api/weights/${await rows.consoleLog()}/console` }),
  },

  "POST /api/models": {
    scope: "models:write",
    reach: "none",
    ask: () => post("/api/models", { name: unique("model-") }),
    audit: "model.create",
  },
  "GET /api/models": { scope: "models:read", reach: "none", ask: () => ({ path: "/api/models" }) },
  "GET /api/models/:name": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: `/api/models/${await rows.model()}` }),
  },
  "PATCH /api/models/:name": {
    scope: "models:write",
    reach: "write",
    ask: async (rows) => ({
      method: "PATCH",
      path: `/api/models/${await rows.model()}`,
      json: { description: "d" },
    }),
    audit: "model.update",
  },
  "POST /api/models/:name/versions": {
    scope: "models:write",
    also: ["weights:read", "tasks:read"],
    reach: "read",
    ask: async (rows) =>
      post(`/api/models/${await rows.model()}/versions`, {
        weight_id: (await rows.file("complete", "final")).id,
      }),
    audit: "model.add_version",
  },
  "GET /api/models/:name/versions": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: `/api/models/${await rows.model()}/versions` }),
  },
  // What was never approved asks for more, here and below: test/security/models.test.ts.
  "GET /api/models/:name/versions/:number": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: (await rows.version("approved")).path }),
  },
  "PATCH /api/models/:name/versions/:number": {
    scope: "models:write",
    reach: "write",
    ask: async (rows) => ({
      method: "PATCH",
      path: (await rows.version()).path,
      json: { notes: "n" },
    }),
    audit: "model.update_version",
  },
  "DELETE /api/models/:name/versions/:number": {
    scope: "models:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: (await rows.version()).path }),
    audit: "model.discard",
  },
  "POST /api/models/:name/versions/:number/submit": {
    scope: "models:write",
    reach: "write",
    ask: step("draft", "submit"),
    audit: "model.submit",
  },
  "POST /api/models/:name/versions/:number/withdraw": {
    scope: "models:write",
    reach: "write",
    ask: step("in_review", "withdraw"),
    audit: "model.withdraw",
  },
  "POST /api/models/:name/versions/:number/approve": {
    scope: "models:approve",
    reach: "others",
    ask: step("in_review", "approve"),
    audit: "model.approve",
  },
  "POST /api/models/:name/versions/:number/reject": {
    scope: "models:approve",
    reach: "others",
    ask: step("in_review", "reject", { reason: "r" }),
    audit: "model.reject",
  },
  "POST /api/models/:name/versions/:number/release": {
    scope: "models:release",
    reach: "read",
    ask: step("approved", "release"),
    audit: "model.release",
  },
  "POST /api/models/:name/versions/:number/retire": {
    scope: "models:release",
    reach: "read",
    ask: step("approved", "retire"),
    audit: "model.retire",
  },
  "GET /api/models/:name/aliases": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: `/api/models/${await rows.model()}/aliases` }),
  },
  "PUT /api/models/:name/aliases/:alias": {
    scope: "models:write",
    reach: "write",
    ask: async (rows) => ({
      method: "PUT",
      path: `/api/models/${(await rows.version()).name}/aliases/trial`,
      json: { version: 1 },
    }),
    audit: "model.move_alias",
  },
  "DELETE /api/models/:name/aliases/:alias": {
    scope: "models:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: await rows.alias() }),
    audit: "model.remove_alias",
  },
  "POST /api/models/:name/aliases/:alias/rollback": {
    scope: "models:write",
    reach: "write",
    ask: async (rows) => post(`${await rows.alias({ removed: true })}/rollback`),
    audit: "model.roll_back",
  },
  "GET /api/models/:name/aliases/history": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: `/api/models/${await rows.model()}/aliases/history` }),
  },
  "GET /api/models/:name/aliases/:alias/history": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: `${await rows.alias()}/history` }),
  },
  "GET /api/tasks/compare": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => ({
      path: `/api/tasks/compare?ids=${await rows.task()},${await rows.task()}`,
    }),
  },
  "GET /api/tasks/templates": {
    scope: "tasks:read",
    reach: "read",
    ask: async () => ({ path: "/api/tasks/templates" }),
  },
  "GET /api/tasks/speeds": {
    scope: "tasks:read",
    reach: "read",
    ask: async () => ({ path: "/api/tasks/speeds?trainer=kohya" }),
  },
  "POST /api/tasks/preview": {
    scope: "tasks:write",
    reach: "none",
    audit: { none: "it stores nothing" },
    ask: async () => post("/api/tasks/preview", { command: ["python", "train.py"] }),
  },
  "GET /api/curves": {
    scope: "tasks:read",
    box: true,
    reach: "read",
    ask: async (rows) => {
      const shows = await rows.task();
      return { path: `/api/curves?ids=${shows}`, shows };
    },
  },
  "GET /api/curves/groups": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => {
      const shows = await rows.task();
      return { path: `/api/curves/groups?ids=${shows}`, shows };
    },
  },
  "GET /api/stats/tasks": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({ path: "/api/stats/tasks?group_by=status" }),
  },
  "GET /api/stats/influence": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({ path: "/api/stats/influence" }),
  },
  "GET /api/leaderboard": {
    scope: "tasks:read",
    reach: "none",
    ask: () => ({ path: "/api/leaderboard" }),
  },
  "GET /api/models/:name/versions/:number/card": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: `${(await rows.version("approved")).path}/card?format=json` }),
  },
  "POST /api/models/:name/shares": {
    scope: "models:release",
    reach: "read",
    ask: async (rows) =>
      post(`/api/models/${(await rows.version("approved")).name}/shares`, { target: 1 }),
    audit: "model.share",
  },
  "GET /api/models/:name/shares": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: `/api/models/${await rows.model()}/shares` }),
  },
  "DELETE /api/models/:name/shares/:id": {
    scope: "models:release",
    reach: "read",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: await rows.share() }),
    audit: "model.revoke_share",
  },
  "GET /api/models/:name/compare": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({
      path: `/api/models/${(await rows.version("approved", 2)).name}/compare?versions=1,2`,
    }),
  },
  "GET /api/models/:name/:ref": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({ path: `/api/models/${(await rows.version()).name}/1` }),
  },
  "GET /api/models/:name/:ref/download": {
    scope: "models:read",
    reach: "read",
    ask: async (rows) => ({
      path: `/api/models/${(await rows.version("approved")).name}/1/download?redirect=false`,
    }),
  },
  "GET /api/tasks/:id/lineage": {
    scope: "models:read",
    also: ["tasks:read"],
    reach: "read",
    ask: async (rows) => ({ path: `/api/tasks/${await rows.task()}/lineage` }),
  },
  "GET /api/datasets/:id/versions": {
    scope: "models:read",
    also: ["tasks:read"],
    reach: "none",
    ask: async (rows) => ({ path: `/api/datasets/${await rows.dataset()}/versions` }),
  },
  "GET /api/storage": {
    scope: "weights:read",
    reach: "none",
    ask: () => ({ path: "/api/storage?by=user,group,kind" }),
  },
  "GET /api/storage/trash": {
    scope: "weights:read",
    reach: "none",
    ask: () => ({ path: "/api/storage/trash" }),
  },
  "GET /api/storage/check": {
    scope: "admin",
    reach: "none",
    ask: () => ({ path: "/api/storage/check" }),
  },
  "POST /api/storage/rules": {
    scope: "weights:write",
    reach: "none",
    ask: () => post("/api/storage/rules", { name: "r", rule: { last: 1 } }),
    audit: "rule.create",
  },
  "GET /api/storage/rules": {
    scope: "weights:read",
    reach: "none",
    ask: () => ({ path: "/api/storage/rules" }),
  },
  "DELETE /api/storage/rules/:id": {
    scope: "weights:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: await rows.rule() }),
    audit: "rule.delete",
  },
  "GET /api/storage/rules/:id/preview": {
    scope: "weights:write",
    reach: "write",
    ask: async (rows) => ({ path: `${await rows.rule()}/preview` }),
  },
  "POST /api/storage/rules/:id/apply": {
    scope: "weights:write",
    reach: "write",
    ask: async (rows) => post(`${await rows.rule()}/apply`),
    audit: "weight.tidy",
  },
  "POST /api/views": {
    scope: "tasks:write",
    reach: "none",
    ask: async (rows) => {
      // A user may have so many and no more.
      await rows.noViews();
      return post("/api/views", { name: unique("v "), query: "filter=lora_rank+%3D+64" });
    },
    audit: "view.create",
  },
  "GET /api/views": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => ({ path: "/api/views", shows: await rows.view(true) }),
  },
  "GET /api/views/:id": {
    scope: "tasks:read",
    reach: "write",
    ask: async (rows) => ({ path: `/api/views/${await rows.view()}` }),
  },
  "PATCH /api/views/:id": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({
      method: "PATCH",
      path: `/api/views/${await rows.view()}`,
      json: { shared: true },
    }),
    audit: "view.update",
  },
  "DELETE /api/views/:id": {
    scope: "tasks:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: `/api/views/${await rows.view()}` }),
    audit: "view.delete",
  },
  "PUT /api/dialects": {
    scope: "tasks:write",
    reach: "none",
    ask: async () => ({
      method: "PUT",
      path: "/api/dialects",
      json: { text: 'name = "mine"\ncolumns = {}\n[recognise]\nkeys = ["my.key"]\n' },
    }),
    audit: "dialect.store",
  },
  "GET /api/dialects": {
    scope: "tasks:read",
    reach: "read",
    ask: async (rows) => ({ path: "/api/dialects", shows: await rows.dialect(true) }),
  },
  "DELETE /api/dialects/:id": {
    scope: "tasks:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: `/api/dialects/${await rows.dialect()}` }),
    audit: "dialect.delete",
  },
  "GET /api/reviews": {
    scope: "models:read",
    reach: "none",
    ask: () => ({ path: "/api/reviews" }),
  },
  "GET /api/events": {
    scope: "tasks:read",
    reach: "none",
    ask: async () => ({ path: "/api/events" }),
  },
  "POST /api/webhooks": {
    scope: "tasks:write",
    reach: "none",
    ask: async (rows) => {
      // A user may have so many and no more.
      await rows.noHooks();
      return post("/api/webhooks", { name: "w", url: receiver });
    },
    audit: "webhook.create",
  },
  "GET /api/webhooks": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({ path: "/api/webhooks", shows: await rows.hook() }),
  },
  "GET /api/webhooks/:id": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({ path: `/api/webhooks/${await rows.hook()}` }),
  },
  "PATCH /api/webhooks/:id": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({
      method: "PATCH",
      path: `/api/webhooks/${await rows.hook()}`,
      json: { name: "other" },
    }),
    audit: "webhook.update",
  },
  "DELETE /api/webhooks/:id": {
    scope: "tasks:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: `/api/webhooks/${await rows.hook()}` }),
    audit: "webhook.delete",
  },
  "POST /api/webhooks/:id/test": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => post(`/api/webhooks/${await rows.hook()}/test`),
    audit: "webhook.test",
  },
  "POST /api/mirrors": {
    scope: "tasks:write",
    reach: "none",
    ask: async (rows) => {
      await rows.noMirrors();
      return post("/api/mirrors", { name: "m", url: receiver });
    },
    audit: "mirror.create",
  },
  "GET /api/mirrors": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({ path: "/api/mirrors", shows: await rows.mirror() }),
  },
  "GET /api/mirrors/:id": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({ path: `/api/mirrors/${await rows.mirror()}` }),
  },
  "PATCH /api/mirrors/:id": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({
      method: "PATCH",
      path: `/api/mirrors/${await rows.mirror()}`,
      json: { name: "other" },
    }),
    audit: "mirror.update",
  },
  "DELETE /api/mirrors/:id": {
    scope: "tasks:write",
    reach: "write",
    status: 204,
    ask: async (rows) => ({ method: "DELETE", path: `/api/mirrors/${await rows.mirror()}` }),
    audit: "mirror.delete",
  },
  "POST /api/mirrors/:id/test": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => post(`/api/mirrors/${await rows.mirror()}/test`),
    audit: "mirror.test",
  },
  "GET /api/mirrors/:id/runs": {
    scope: "tasks:write",
    reach: "write",
    ask: async (rows) => ({ path: `/api/mirrors/${await rows.mirror()}/runs` }),
  },
  "POST /api/mirrors/:id/runs/:task/retry": {
    scope: "tasks:write",
    reach: "write",
    trash: true,
    ask: async (rows) => {
      const task = await rows.task();
      return post(`/api/mirrors/${await rows.mirror(task)}/runs/${task}/retry`);
    },
    audit: "mirror.retry",
  },
  // The log says what was sent, whatever became of its run.
  "GET /api/deliveries": {
    scope: "tasks:write",
    reach: "write",
    trash: true,
    ask: async (rows) => ({ path: "/api/deliveries", shows: await rows.deadLetter() }),
  },
  "POST /api/deliveries/:id/redeliver": {
    scope: "tasks:write",
    reach: "write",
    trash: true,
    ask: async (rows) => post(`/api/deliveries/${await rows.deadLetter()}/redeliver`),
    audit: "webhook.redeliver",
  },
};
