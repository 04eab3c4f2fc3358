// Alerts that come in floods: a webhook gets ALERTS_PER_HOUR messages, and what is beyond in one.
import { createHmac } from "node:crypto";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, expect, it } from "vitest";
import { openDatabase } from "../../scripts/local/database.ts";
import { runScheduled } from "../../scripts/local/worker.ts";
import { startReceiver } from "../receiver.ts";
import { eventually, type Stack, startStack } from "../stack.ts";

const MOST = 5;
const FAILED = 40;
const queue = "lora-ledger-alerts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack(
    {
      ALLOW_INSIDE_WEBHOOKS: "true",
      ALERT_RETRY_SEC: "1",
      ALERTS_PER_HOUR: String(MOST),
      PUBLIC_URL: "https://ledger.example/",
    },
    {
      queues: {
        producers: [{ binding: "ALERTS", queue }],
        consumers: [{ queue, max_batch_size: 5, max_batch_timeout: 0, max_retries: 3 }],
      },
    },
  );
}, 120_000);
afterAll(() => stack.stop());

async function inDatabase<T>(work: (db: ReturnType<typeof openDatabase>) => Promise<T>) {
  const db = openDatabase({ url: stack.databaseUrl() });
  try {
    return await work(db);
  } finally {
    db.$client.close();
  }
}

async function fail(experiment_group: string, task_name: string): Promise<number> {
  const { task_id } = await stack.api("/api/tasks", { task_name, experiment_group });
  await stack.api(`/api/tasks/${task_id}/finish`, { status: "failed", failure_reason: "oom" });
  return task_id;
}

type Delivery = { id: number; state: string; bundle_id: number | null };
const deliveries = async (hook: number): Promise<Delivery[]> =>
  (await stack.api(`/api/deliveries?webhook=${hook}&limit=200`)).items;

/** Lets the hour of a webhook's bundle be over. */
const hourPasses = (hook: number) =>
  inDatabase((db) =>
    db.run(sql`
      update delivery set created_at = strftime('%Y-%m-%dT%H:%M:%fZ', created_at, '-2 hours'),
        next_at = iif(next_at < '9999', strftime('%Y-%m-%dT%H:%M:%fZ', next_at, '-2 hours'), next_at)
      where webhook_id = ${hook}`),
  );

it("tells the first alone and the others in one message, each once, and keeps other webhooks out of it", async () => {
  const receiver = await startReceiver();
  const calm = await startReceiver();
  const chats = await Promise.all(
    ["slack", "discord", "feishu", "dingtalk", "wecom"].map(async (target) => ({
      target,
      at: await startReceiver((response) => response.end('{"errcode":0,"code":0}')),
    })),
  );
  const groups = ["flood"];
  const hook = await stack.api("/api/webhooks", { name: "w", url: receiver.url, groups });
  await stack.api("/api/webhooks", { name: "calm", url: calm.url, groups: ["calm"] });
  const hooks = [hook.id];
  for (const { target, at } of chats)
    hooks.push(
      (await stack.api("/api/webhooks", { name: target, target, url: at.url, groups })).id,
    );

  const ids: number[] = [];
  for (let n = 0; n < FAILED; n += 8)
    ids.push(
      ...(await Promise.all(Array.from({ length: 8 }, (_, k) => fail("flood", `run ${n + k}`)))),
    );
  await fail("calm", "another");
  await runScheduled(stack.url);
  await eventually("the messages of the hour", async () => {
    await runScheduled(stack.url);
    return (await deliveries(hook.id)).filter(({ state }) => state === "delivered").length >= MOST;
  });
  await eventually("the other webhook's", () => calm.got.length === 1);
  expect(receiver.got).toHaveLength(MOST);
  const waiting = (await deliveries(hook.id)).filter(({ state }) => state === "waiting");
  expect(waiting).toHaveLength(FAILED - MOST);
  expect(new Set(waiting.map(({ bundle_id }) => bundle_id)).size).toBe(1);

  // Not before the hour is over, however often the job looks.
  await runScheduled(stack.url);
  expect(receiver.got).toHaveLength(MOST);

  for (const one of hooks) await hourPasses(one);
  await eventually("the bundle", async () => {
    await runScheduled(stack.url);
    return receiver.got.length > MOST && chats.every(({ at }) => at.got.length > MOST);
  });
  const bundle = receiver.got[MOST];
  if (!bundle) throw new Error("no bundle");
  expect(bundle.json).toMatchObject({
    type: "bundle",
    data: {
      bundle: { count: FAILED - MOST, kinds: { failed: FAILED - MOST } },
      link: "https://ledger.example/board/alerts",
    },
  });
  expect(bundle.json.data.text).toContain(`${FAILED - MOST} more failed`);
  expect(bundle.json.data.text).toContain("and 25 more");
  expect(bundle.json.data.bundle.first).toHaveLength(10);
  const signed = `${bundle.headers["webhook-id"]}.${bundle.headers["webhook-timestamp"]}.${bundle.body}`;
  const key = Buffer.from(hook.secret.slice("whsec_".length), "base64");
  expect(bundle.headers["webhook-signature"]).toBe(
    `v1,${createHmac("sha256", key).update(signed).digest("base64")}`,
  );
  for (const { target, at } of chats)
    expect([target, at.got[MOST]?.body.replaceAll("\\", "")]).toEqual([
      target,
      expect.stringContaining(`${FAILED - MOST} more failed`),
    ]);

  // Nothing is lost and nothing is told twice.
  await eventually("the log", async () =>
    (await deliveries(hook.id)).every(({ state }) => state === "delivered"),
  );
  const all = await deliveries(hook.id);
  expect(all).toHaveLength(FAILED);
  await runScheduled(stack.url);
  expect(receiver.got).toHaveLength(MOST + 1);
  const alone = receiver.got.slice(0, MOST).map(({ json }) => json.data.subject_id);
  const bundled = await inDatabase((db) =>
    db.all<{ id: number }>(sql`
      select e.subject_id as id from delivery d join event e on e.id = d.event_id
      where d.webhook_id = ${hook.id} and d.bundle_id is not null`),
  );
  expect([...alone, ...bundled.map(({ id }) => id)].sort()).toEqual(ids.sort());

  // One of a bundle can be sent by itself, and the bundle again.
  const head = all.find(({ id, bundle_id }) => id === bundle_id);
  const member = all.find(({ id, bundle_id }) => bundle_id !== null && id !== bundle_id);
  await stack.api(`/api/deliveries/${member?.id}/redeliver`, {});
  const again = await eventually("the one", () => receiver.got[MOST + 1]);
  expect(again.json.type).toBe("failed");
  await stack.api(`/api/deliveries/${head?.id}/redeliver`, {});
  const whole = await eventually("the bundle again", () => receiver.got[MOST + 2]);
  expect(whole.json.type).toBe("bundle");
  for (const one of [receiver, calm, ...chats.map(({ at }) => at)]) await one.close();
});

it("keeps a bundle whole when the database and the Worker die under it", async () => {
  let broken = true;
  const receiver = await startReceiver((response) => response.writeHead(broken ? 503 : 200).end());
  const hook = await stack.api("/api/webhooks", { name: "w", url: receiver.url, groups: ["die"] });
  for (let n = 0; n < MOST + 4; n++) await fail("die", `run ${n}`);
  await runScheduled(stack.url);
  await hourPasses(hook.id);
  await eventually("a try of the bundle", async () => {
    await runScheduled(stack.url);
    return receiver.got.some(({ json }) => json.type === "bundle");
  });
  stack.killDatabase();
  stack.killWorker();
  broken = false;
  await eventually("the database", () => stack.reviveDatabase().then(() => true));
  await stack.reviveWorker();
  await eventually("all of them", async () => {
    await hourPasses(hook.id);
    await runScheduled(stack.url);
    return (await deliveries(hook.id)).every(({ state }) => state === "delivered");
  });
  const bundles = receiver.got.filter(({ json }) => json.type === "bundle");
  expect(new Set(bundles.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
  expect(bundles.map(({ json }) => json.data.bundle.count)).toEqual(bundles.map(() => 4));
  await receiver.close();
});
