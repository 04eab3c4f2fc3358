// What one user may have: each bound is met by many requests at once, none of which goes beyond, and
// says which bound it is. Nobody else's work stops by it.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger, type Sent } from "../harness.ts";

type Key = Awaited<ReturnType<Ledger["key"]>>;

const MOST = 5;
let ledger: Ledger;
beforeAll(async () => {
  ledger = await freshLedger({
    ALLOW_INSIDE_WEBHOOKS: "true",
    MAX_TASKS_PER_USER: "60",
    MAX_DATABASE_BYTES_PER_USER: "300000",
    MAX_FILES_PER_USER: "12",
    MAX_FILE_BYTES_PER_USER: "1000000",
    MAX_OPEN_UPLOADS_PER_USER: String(MOST),
    MAX_KEYS_PER_USER: String(MOST),
    MAX_WEBHOOKS_PER_USER: String(MOST),
    MAX_MIRRORS_PER_USER: String(MOST),
    MAX_VIEWS_PER_USER: String(MOST),
    MAX_RULES_PER_USER: String(MOST),
    MAX_MODELS_PER_USER: String(MOST),
    MAX_ENROLMENTS_PER_USER: String(MOST),
  });
});

const usedOf = async (who: Key, bound: string): Promise<{ used: number; most: number | null }> =>
  (await ledger.call("/api/me/use", { key: who.key })).items.find(
    (item: { bound: string }) => item.bound === bound,
  );

/** Sends `count` of them at once; their answers' statuses, and the bodies of those that were refused. */
async function atOnce(count: number, send: (n: number) => [string, Sent]) {
  const answers = await Promise.all(
    Array.from({ length: count }, async (_, n) => {
      const response = await ledger.request(...send(n));
      return { status: response.status, body: (await response.json()) as Record<string, unknown> };
    }),
  );
  return {
    done: answers.filter(({ status }) => status === 200).length,
    refused: answers.filter(({ status }) => status !== 200),
  };
}

const register = (key: string, more: object = {}, sent: Sent = {}, status = 200) =>
  ledger.call("/api/tasks", { key, json: { task_name: "r", ...more }, ...sent }, status);

const file = (n: number, size = 10) => ({
  filename: `f${n}.bin`,
  size,
  sha256: n.toString(16).padStart(64, "0"),
  kind: "sample",
});

describe("of twenty at once none goes beyond the bound of", () => {
  const makers: Record<string, (key: string) => (n: number) => [string, Sent]> = {
    keys: (key) => (n) => ["/api/keys", { key, json: { name: `k${n}` } }],
    webhooks: (key) => (n) => [
      "/api/webhooks",
      { key, json: { name: `w${n}`, url: "http://127.0.0.1:9/" } },
    ],
    mirrors: (key) => (n) => [
      "/api/mirrors",
      { key, json: { name: `m${n}`, url: "http://127.0.0.1:9/" } },
    ],
    views: (key) => (n) => ["/api/views", { key, json: { name: `v${n}`, query: "status=failed" } }],
    rules: (key) => (n) => [
      "/api/storage/rules",
      { key, json: { name: `r${n}`, rule: { kinds: ["sample"], days: 1 } } },
    ],
    models: (key) => (n) => ["/api/models", { key, json: { name: `bounded-${n}` } }],
    enrolments: (key) => () => ["/api/boxes/enrol", { key, json: {} }],
  };
  it.each(Object.entries(makers))("%s", async (bound, maker) => {
    const who = await ledger.key();
    const before = (await usedOf(who, bound)).used;
    const { done, refused } = await atOnce(20, maker(who.key));
    expect(done).toBe(MOST - before);
    for (const { status, body } of refused) {
      expect(status).toBe(403);
      expect(body).toMatchObject({
        type: "urn:lora-ledger:over-limit",
        bound,
        used: MOST,
        most: MOST,
      });
      expect(body.detail).toMatch(/MAX_[A-Z_]+_PER_USER/);
    }
    expect(await usedOf(who, bound)).toEqual({ bound, used: MOST, most: MOST });
    const noted = await ledger.db.all(
      sql`select 1 from audit_entry where user_id = ${who.userId} and (action like '%.create' or action = 'box.enrol')`,
    );
    expect(noted).toHaveLength(done);
  });

  it("runs, by registering and by a sweep, which makes all of its runs or none", async () => {
    const who = await ledger.key();
    const sweep = (count: number) =>
      ledger.call(
        "/api/sweeps",
        {
          key: who.key,
          json: {
            config: { text: "a = 1\n", format: "toml" },
            space: { a: Array.from({ length: count }, (_, n) => n) },
            experiment_group: "s",
          },
        },
        count > 45 ? 403 : 200,
      );
    expect((await sweep(45)).count).toBe(45);
    const { done, refused } = await atOnce(20, () => [
      "/api/tasks",
      { key: who.key, json: { task_name: "r" } },
    ]);
    expect([done, refused.length]).toEqual([15, 5]);
    expect(refused[0]?.body).toMatchObject({ bound: "tasks", used: 60, most: 60 });
    const [count] = await ledger.db.all<{ n: number }>(
      sql`select count(*) as n from training_task where user_id = ${who.userId}`,
    );
    expect(count?.n).toBe(60);
    await ledger.call(
      "/api/sweeps",
      {
        key: who.key,
        json: {
          config: { text: "a = 1\n", format: "toml" },
          space: { a: [1, 2] },
          experiment_group: "s",
        },
      },
      403,
    );
    // Another user's registrations go on, and a repeated one of one's own finds its run.
    await register((await ledger.key()).key);
  });

  it("unfinished uploads, which count until they are swept, and files and their bytes", async () => {
    const who = await ledger.key();
    const { task_id: id } = await register(who.key);
    const announce = (n: number, size?: number): [string, Sent] => [
      `/api/tasks/${id}/weights`,
      { key: who.key, json: file(n, size) },
    ];
    const { done, refused } = await atOnce(20, (n) => announce(n));
    expect([done, refused.length]).toEqual([MOST, 15]);
    expect(refused[0]?.body).toMatchObject({ bound: "uploads", used: MOST });
    const [given] = (await ledger.call(`/api/weights?task_id=${id}`, { key: who.key })).items;
    await ledger.call(`/api/weights/${given.id}`, { key: who.key, method: "DELETE" }, 204);
    expect((await usedOf(who, "uploads")).used).toBe(MOST);
    const again = await ledger.request(...announce(50));
    expect(again.status).toBe(403);
    // One that is there is found again: nothing is added.
    const { items } = await ledger.call(`/api/weights?task_id=${id}`, { key: who.key });
    const known = items[0];
    await ledger.call(`/api/tasks/${id}/weights`, {
      key: who.key,
      json: { filename: known.filename, size: known.size, sha256: known.sha256, kind: "sample" },
    });

    const other = await ledger.key();
    const { task_id: theirs } = await register(other.key);
    const large = await ledger.request(`/api/tasks/${theirs}/weights`, {
      key: other.key,
      json: file(1, 2_000_000),
    });
    expect(large.status).toBe(403);
    expect(await large.json()).toMatchObject({ bound: "file_bytes", used: 0, most: 1_000_000 });
  });
});

describe("bytes in the database", () => {
  const points = (from: number, count: number) =>
    Array.from({ length: count }, (_, i) => ({
      step: from + i,
      metrics: { loss: 0.123456789 + i, "a/long/name": 0.987654321, third: 1 / (i + 1) },
    }));

  it("refuse points beyond, keep the run alive, warn before, and take them once there is room", async () => {
    const who = await ledger.key();
    const { task_id: id } = await register(who.key);
    const beat = (seq: number) =>
      ledger.request(`/api/tasks/${id}/heartbeat`, {
        key: who.key,
        json: { attempt: 1, seq, progress: { step: seq }, logs: points(seq * 1000, 600) },
      });
    let seq = 1;
    let warned = false;
    let refused: Response | undefined;
    for (; seq < 100 && !refused; seq++) {
      const answer = await beat(seq);
      if (answer.status !== 200) {
        refused = answer;
        break;
      }
      const { warnings } = (await answer.json()) as { warnings?: { code: string }[] };
      if (warnings) warned = true;
      expect(warnings?.[0]?.code ?? "near-limit").toBe("near-limit");
    }
    expect(warned).toBe(true);
    expect(refused?.status).toBe(413);
    expect(await refused?.json()).toMatchObject({
      type: "urn:lora-ledger:over-limit",
      bound: "database_bytes",
      most: 300_000,
      current_status: "running",
      cancel_requested: false,
    });
    // It lives on, and nothing of the refused heartbeat counts as received.
    const [attempt] = await ledger.db.all<{ last_seq: number; heartbeat_at: string }>(
      sql`select last_seq, heartbeat_at from task_attempt where task_id = ${id}`,
    );
    expect(attempt?.last_seq).toBe(seq - 1);
    const task = await ledger.call(`/api/tasks/${id}`, { key: who.key });
    expect(task).toMatchObject({ status: "running", progress: { step: seq } });
    expect((await beat(seq - 1)).status).toBe(200);
    // Heartbeats without points go on, and so does the end, which names what is missing.
    await ledger.call(`/api/tasks/${id}/heartbeat`, {
      key: who.key,
      json: { attempt: 1, seq: seq + 1, progress: { step: seq + 1 } },
    });
    const ended = await ledger.call(`/api/tasks/${id}/finish`, {
      key: who.key,
      json: { attempt: 1, status: "success", last_seq: seq + 1 },
    });
    expect(ended.missing).toEqual([{ from: seq, to: seq }]);
    // Registering is refused too, notes stay open, and a run that is there is found again.
    await register(who.key, { notes: "n".repeat(50_000) }, {}, 403);
    await ledger.call(`/api/tasks/${id}`, {
      key: who.key,
      method: "PATCH",
      json: { notes: "short" },
    });
    await ledger.call(
      `/api/tasks/${id}`,
      { key: who.key, method: "PATCH", json: { notes: "n".repeat(40_000) } },
      403,
    );
    // Room again: what was missing is taken.
    await ledger.db.run(sql`update user_use set bytes = 0 where user_id = ${who.userId}`);
    expect((await beat(seq)).status).toBe(200);
  });

  it("count what registering, facts and notes bring, and give it back with the purge", async () => {
    const who = await ledger.key();
    const tags = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`tag ${n}`, n]));
    const { task_id: id } = await register(who.key, {
      config: { text: `# ${"x".repeat(20_000)}\na = 1\n`, format: "toml" },
      datasets: [{ name: "d", tag_distribution: tags }],
    });
    const used = async () => (await usedOf(who, "database_bytes")).used;
    const first = await used();
    expect(first).toBeGreaterThan(20_000 + 5_000);
    const put = (name: string) =>
      ledger.call(`/api/tasks/${id}/datasets`, {
        key: who.key,
        method: "PUT",
        json: { datasets: [{ name, tag_distribution: tags }] },
      });
    await put("another");
    const second = await used();
    expect(second - first).toBeGreaterThan(5_000);
    await put("another");
    expect(await used()).toBe(second);
    await ledger.call(`/api/tasks/${id}/heartbeat`, {
      key: who.key,
      json: { attempt: 1, seq: 1, tail: "t".repeat(1000), logs: points(1, 100) },
    });
    await ledger.call(`/api/tasks/${id}/finish`, {
      key: who.key,
      json: { attempt: 1, status: "success" },
    });
    expect(await used()).toBeGreaterThan(second + 1000);
    await ledger.db.batch([
      ledger.db.run(sql`delete from task_config where task_id = ${id}`),
      ledger.db.run(sql`delete from training_task where id = ${id}`),
      ledger.db.run(sql`delete from task_attempt where task_id = ${id}`),
    ]);
    expect(await used()).toBe(0);
    expect((await usedOf(who, "tasks")).used).toBe(0);
  });
});

it("warns at registering from 80 % on, not before", async () => {
  const who = await ledger.key();
  const codes = [];
  for (let n = 0; n < 48; n++) {
    const { warnings } = await register(who.key);
    codes.push(warnings.map(({ code }: { code: string }) => code).join());
  }
  expect(codes.slice(0, 47)).toEqual(codes.slice(0, 47).map(() => ""));
  expect(codes[47]).toBe("near-limit");
});

it("shows admins what everyone has, and members their own alone", async () => {
  const admin = await ledger.key({ role: "admin" });
  const who = await ledger.key();
  await register(who.key);
  const { items } = await ledger.call("/api/users/use?limit=200", { key: admin.key });
  const found = items.find(({ user_id }: { user_id: number }) => user_id === who.userId);
  expect(found.items).toContainEqual({ bound: "tasks", used: 1, most: 60 });
  await ledger.call("/api/users/use", { key: who.key }, 403);
});

it("refuses a box its key where its user has as many as there may be, and keeps its token good", async () => {
  const who = await ledger.key();
  const { token } = await ledger.call("/api/boxes/enrol", { key: who.key, json: {} });
  const made = [];
  for (let n = 1; n < MOST; n++)
    made.push(await ledger.call("/api/keys", { key: who.key, json: { name: `k${n}` } }));
  const refused = await ledger.call("/api/boxes/exchange", { json: { token } }, 403);
  expect(refused).toMatchObject({ type: "urn:lora-ledger:over-limit", bound: "keys" });
  await ledger.call(`/api/keys/${made[0].id}`, { key: who.key, method: "DELETE" });
  await ledger.call("/api/boxes/exchange", { json: { token } });
});

it("bounds nothing where a setting is 0", async () => {
  const free = await freshLedger({ MAX_KEYS_PER_USER: "0", MAX_TASKS_PER_USER: "0" });
  const who = await free.key();
  for (let n = 0; n < 6; n++) await free.call("/api/keys", { key: who.key, json: { name: "k" } });
  const { items } = await free.call("/api/me/use", { key: who.key });
  expect(items).toContainEqual({ bound: "keys", used: 7, most: null });
});

it("limits the requests of a user by all keys together, and nobody else's", async () => {
  const busy = await freshLedger({ RATE_LIMITS: "true" });
  // A real limit, smaller than the user's own, so that a slow machine meets it too.
  Object.assign(busy.bindings, { USER_LIMIT: busy.bindings.FAILURE_LIMIT });
  const who = await busy.key();
  const keys = [who.key];
  for (let n = 0; n < 5; n++) keys.push((await busy.key({ user: who.userName })).key);
  const calm = await busy.key();
  const answers = await Promise.all(
    keys.flatMap((key) => Array.from({ length: 25 }, () => busy.request("/api/me", { key }))),
  );
  const limited = answers.find(({ status }) => status === 429);
  expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(60);
  expect(limited?.headers.get("Retry-After")).toBe("10");
  expect(await limited?.text()).toContain("The keys of this user");
  await busy.call("/api/me", { key: calm.key });
});
