import { sql } from "drizzle-orm";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { freshLedger, type Ledger } from "../../../test/harness.ts";
import { type Call, fakeMlflow, type Reply } from "../../../test/trackers/fake-mlflow.ts";
import { runSchedule } from "../../schedule.ts";
import { writeMirrors } from "./job.ts";

const HOST = "mlflow.example.org";
const TOKEN = "a-token-nobody-may-see";
let ledger: Ledger;
let who: Awaited<ReturnType<Ledger["key"]>>;
let there: ReturnType<typeof fakeMlflow>;
/** Thrown in place of an answer. */
let away: Error | null;

const real = globalThis.fetch;
async function serve(requests = "100", more: Record<string, string> = {}) {
  ledger = await freshLedger({ MIRROR_REQUESTS_A_MINUTE: requests, ...more });
  who = await ledger.key();
}
beforeEach(async () => {
  there = fakeMlflow();
  away = null;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.hostname !== HOST) return real(input, init);
    const request = new Request(input, init);
    if (away) throw away;
    const { status, body, headers } = there.answer(
      url,
      request.headers.get("Authorization"),
      await request.text(),
    );
    return new Response(body, { status, headers });
  });
  await serve();
});
afterEach(() => vi.restoreAllMocks());

const ask = (path: string, json?: unknown, method?: string, status = 200) =>
  ledger.call(path, { key: who.key, json, method }, status);
const mirror = (more: object = {}) =>
  ask("/api/mirrors", { name: "lab", url: `https://${HOST}/ml/`, token: TOKEN, ...more });
const start = async (more: object = {}): Promise<number> =>
  (await ask("/api/tasks", { task_name: "aki", experiment_group: "faces", ...more })).task_id;
const beat = (id: number, seq: number, logs: object[]) =>
  ask(`/api/tasks/${id}/heartbeat`, { attempt: 1, seq, progress: { step: seq }, logs });
const points = (from: number, count: number, metrics: (step: number) => object) =>
  Array.from({ length: count }, (_, n) => ({
    step: from + n,
    time: new Date(Date.UTC(2026, 0, 1) + (from + n) * 1000).toISOString(),
    metrics: metrics(from + n),
  }));
/** A minute later: nothing waits any more. */
async function minute() {
  await ledger.db.run(sql`update mirror set next_at = '2020-01-01' where next_at is not null`);
  await ledger.db.run(sql`update mirror_run set next_at = '2020-01-01' where next_at is not null`);
  await writeMirrors(ledger.db, ledger.config);
}
const log = async (id: number) => (await ask(`/api/mirrors/${id}/runs`)).items;
const state = (id: number) => ask(`/api/mirrors/${id}`);
const metrics = () => [...there.only().metrics.values()];

describe("a mirror", () => {
  it("writes a run while it trains and at its end, each point once, and then asks nothing more", async () => {
    const { id } = await mirror();
    const task = await start({
      lora_rank: 16,
      learning_rate: 1e-4,
      tags: { kind: "style", "a?b": "c" },
    });
    await minute();
    expect(there.runs.size).toBe(0);
    expect(await log(id)).toMatchObject([{ task_id: task, state: "waiting", run_url: null }]);

    await beat(
      task,
      1,
      points(1, 3, (step) => ({ loss: 1 / step, "a?b": step, "a!b": "NaN" })),
    );
    await minute();
    const run = there.only();
    expect(run).toMatchObject({
      name: "aki",
      status: "RUNNING",
      experiment: there.experiments.get("faces"),
    });
    expect(Object.fromEntries(run.params)).toMatchObject({
      lora_rank: "16",
      learning_rate: "0.0001",
    });
    expect(Object.fromEntries(run.tags)).toMatchObject({
      "lora_ledger.task": String(task),
      "lora_ledger.url": `http://ledger.test/runs/${task}`,
      "mlflow.note.content": `[aki](http://ledger.test/runs/${task}) in LoRA Ledger`,
      kind: "style",
    });
    expect(metrics()).toHaveLength(9);
    expect(metrics()[0]).toEqual({
      key: "loss",
      value: 1,
      timestamp: Date.UTC(2026, 0, 1) + 1000,
      step: 1,
    });
    // Two names that MLflow does not take stay two.
    expect(new Set(metrics().map(({ key }) => key)).size).toBe(3);
    expect(there.calls.every(({ authorization }) => authorization === `Bearer ${TOKEN}`)).toBe(
      true,
    );
    expect(await log(id)).toMatchObject([
      {
        ...{ state: "open", points: 3, points_total: 3, error: null, status: 200, run_id: run.id },
        run_url: `https://${HOST}/ml/#/experiments/${run.experiment}/runs/${run.id}`,
      },
    ]);

    const quiet = there.calls.length;
    await minute();
    expect(there.calls).toHaveLength(quiet);
    await beat(
      task,
      2,
      points(4, 2, () => ({ loss: 0.1 })),
    );
    await ask(`/api/tasks/${task}/finish`, { attempt: 1, status: "success", final_loss: 0.1 });
    await minute();
    expect(there.only()).toMatchObject({ status: "FINISHED", endTime: expect.any(Number) });
    expect(there.only().tags.get("lora_ledger.final_loss")).toBe("0.1");
    expect(metrics()).toHaveLength(11);
    expect(await log(id)).toMatchObject([{ state: "done", points: 5, points_total: 5 }]);
    const ended = there.calls.length;
    await minute();
    expect(there.calls).toHaveLength(ended);
    expect(there.counts()).toMatchObject({ "runs/create": 1, "runs/search": 1 });
  });

  it("opens a run again that is retried, and one whose points come after its end", async () => {
    const { id } = await mirror();
    const task = await start();
    await beat(
      task,
      1,
      points(1, 1, () => ({ loss: 1 })),
    );
    await ask(`/api/tasks/${task}/finish`, { attempt: 1, status: "failed" });
    await minute();
    expect(there.only().status).toBe("FAILED");
    expect(await log(id)).toMatchObject([{ state: "done" }]);
    // A whole attempt between two looks.
    await ask(`/api/tasks/${task}/attempts`, {});
    await ask(`/api/tasks/${task}/heartbeat`, {
      attempt: 2,
      seq: 1,
      logs: points(2, 2, () => ({ loss: 2 })),
    });
    await ask(`/api/tasks/${task}/finish`, { attempt: 2, status: "success" });
    await minute();
    expect(there.only().status).toBe("FINISHED");
    expect(metrics()).toHaveLength(3);
    await ask(`/api/tasks/${task}/heartbeat`, {
      attempt: 2,
      seq: 2,
      logs: points(9, 1, () => ({ loss: 3 })),
    });
    await runSchedule(ledger.bindings);
    await minute();
    expect(metrics()).toHaveLength(4);
    expect(there.only().status).toBe("FINISHED");
    expect(await log(id)).toMatchObject([{ state: "done", points: 4, points_total: 4 }]);
  });

  it("writes a heartbeat larger than a minute's requests piece by piece, and other runs meanwhile", async () => {
    await serve("6");
    const { id } = await mirror();
    const large = await start();
    const wide = Object.fromEntries(Array.from({ length: 490 }, (_, n) => [`m${n}`, n]));
    await beat(
      large,
      1,
      points(1, 30, () => wide),
    );
    await minute();
    const small = await start({ task_name: "small" });
    await beat(
      small,
      1,
      points(1, 1, () => ({ loss: 1 })),
    );
    const progress: number[] = [];
    for (let n = 0; n < 12; n++) {
      const before = there.calls.length;
      await minute();
      expect(there.calls.length - before).toBeLessThanOrEqual(6);
      progress.push(
        (await log(id)).find((one: { task_id: number }) => one.task_id === large).points,
      );
    }
    expect(progress.at(-1)).toBe(30);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    const [one, two] = [...there.runs.values()].map((run) => run.metrics.size);
    expect([one, two]).toEqual([30 * 490, 1]);
    const sent = there.calls.flatMap(({ body }) => body.metrics ?? []);
    expect(sent).toHaveLength(30 * 490 + 1);
  });

  it("makes no second run where the answer was lost, and repeats one batch at most", async () => {
    const { id } = await mirror();
    const task = await start();
    await beat(
      task,
      1,
      points(1, 3, () => ({ loss: 1 })),
    );
    for (const path of ["runs/create", "runs/log-batch"]) {
      let lost = 0;
      const answer = there.answer;
      there.answer = (...args) => {
        const reply = answer(...args);
        if (args[0].pathname.endsWith(path) && lost++ === 0)
          return { status: 502, body: "bad gateway" };
        return reply;
      };
      await minute();
      there.answer = answer;
      expect(await state(id)).toMatchObject({ failures: 1, error: "was answered 502" });
      await minute();
      expect(await state(id)).toMatchObject({ failures: 0, error: null });
      await beat(
        task,
        2,
        points(4, 3, () => ({ loss: 1 })),
      );
    }
    await minute();
    expect(there.counts()["runs/create"]).toBe(1);
    expect(metrics()).toHaveLength(6);
    expect(await log(id)).toMatchObject([{ points: 6, error: null, tries: 0 }]);
  });

  it("is written to by one of two calls at once", async () => {
    await mirror();
    const task = await start();
    await beat(
      task,
      1,
      points(1, 3, () => ({ loss: 1 })),
    );
    await Promise.all([minute(), writeMirrors(ledger.db, ledger.config)]);
    expect(there.counts()).toMatchObject({ "runs/search": 1, "runs/create": 1 });
    expect(metrics()).toHaveLength(3);
  });

  it("turns a setting that changed into a tag", async () => {
    await mirror();
    const task = await start({ lora_rank: 16 });
    await beat(
      task,
      1,
      points(1, 1, () => ({ loss: 1 })),
    );
    await minute();
    await ask(`/api/tasks/${task}`, { lora_rank: 32, task_name: "renamed", seed: 5 }, "PATCH");
    await minute();
    const run = there.only();
    expect(run.params.get("lora_rank")).toBe("16");
    expect(run.tags.get("lora_ledger.param.lora_rank")).toBe("32");
    expect(run.params.get("seed")).toBe("5");
    expect(run.name).toBe("renamed");
  });

  const passing: [string, () => Reply | null, RegExp][] = [
    ["500", () => ({ status: 500, body: "<html>oops" }), /answered 500/],
    ["a page", () => ({ status: 200, body: "<html>sign in" }), /something other than JSON/],
    ["a list", () => ({ status: 200, body: "[]" }), /something other than JSON/],
    [
      "a huge body",
      () => ({ status: 200, body: `{"a":"${"x".repeat(1_100_000)}"}` }),
      /at too great length/,
    ],
    [
      "a redirect inside",
      () => ({ status: 302, body: "", headers: { Location: "http://169.254.169.254/" } }),
      /a redirect/,
    ],
    ["another service", () => ({ status: 404, body: "not found" }), /is this the address/],
    ["a refused token", () => ({ status: 401, body: TOKEN }), /does not accept the token/],
    [
      "no id",
      () => ({ status: 200, body: '{"experiment":{"experiment_id":{}}}' }),
      /without the id/,
    ],
    [
      "too many requests",
      () => ({ status: 429, body: "{}", headers: { "Retry-After": "900" } }),
      /answered 429/,
    ],
  ];
  it.each(passing)(
    "waits for a server that answers with %s, and catches up",
    async (_, reply, words) => {
      const { id } = await mirror();
      const task = await start();
      await beat(
        task,
        1,
        points(1, 2, () => ({ loss: 1 })),
      );
      there.instead = reply;
      await minute();
      const failed = await state(id);
      expect(failed).toMatchObject({ failures: 1, error: expect.stringMatching(words) });
      expect(JSON.stringify([failed, await log(id)])).not.toContain(TOKEN);
      const wait = Date.parse(failed.next_at) - Date.now();
      expect(wait).toBeGreaterThan(reply()?.headers?.["Retry-After"] ? 850_000 : 20_000);
      const asked = there.calls.length;
      await writeMirrors(ledger.db, ledger.config);
      expect(there.calls).toHaveLength(asked);
      there.instead = () => null;
      await minute();
      expect(metrics()).toHaveLength(2);
      expect(await log(id)).toMatchObject([{ error: null, points: 2 }]);
    },
  );

  it("gives up a run that the server refuses, with its words and without the token, until someone tries again", async () => {
    const { id } = await mirror();
    const task = await start();
    const other = await start({ experiment_group: "other" });
    await beat(
      task,
      1,
      points(1, 2, () => ({ loss: 1 })),
    );
    await beat(
      other,
      1,
      points(1, 2, () => ({ loss: 1 })),
    );
    there.instead = ({ path, body }: Call) =>
      path === "experiments/get-by-name" && body.experiment_name === "faces"
        ? {
            status: 403,
            body: JSON.stringify({ error_code: "PERMISSION_DENIED", message: `not with ${TOKEN}` }),
          }
        : null;
    await minute();
    const [fine, refused] = await log(id);
    expect(fine).toMatchObject({ task_id: other, points: 2 });
    expect(refused).toMatchObject({
      state: "refused",
      error: "was answered 403 PERMISSION_DENIED: not with [redacted]",
    });
    expect(await state(id)).toMatchObject({ failures: 0 });
    const asked = there.calls.length;
    await minute();
    expect(there.calls).toHaveLength(asked);
    there.instead = () => null;
    expect(await ask(`/api/mirrors/${id}/runs/${task}/retry`, {})).toMatchObject({
      state: "open",
      error: null,
    });
    await minute();
    expect(await log(id)).toMatchObject([{ points: 2 }, { state: "open", points: 2 }]);
    await ask(`/api/mirrors/${id}/runs/999/retry`, {}, undefined, 404);
    // Another token lets all of them try again.
    await ledger.db.run(sql`update mirror_run set state = 'refused'`);
    await ask(`/api/mirrors/${id}`, { token: "user:pass" }, "PATCH");
    expect(await log(id)).toMatchObject([{ state: "open" }, { state: "open" }]);
    await beat(
      task,
      2,
      points(3, 1, () => ({ loss: 1 })),
    );
    await minute();
    expect(there.calls.at(-1)?.authorization).toBe(`Basic ${btoa("user:pass")}`);
  });

  it("takes its user's runs of its groups, those under way at once and those of the past on request", async () => {
    const stranger = await ledger.key();
    const past = await start();
    await ask(`/api/tasks/${past}/finish`, { status: "success" });
    const live = await start();
    await beat(live, 1, []);
    await ledger.call("/api/tasks", {
      key: stranger.key,
      json: { task_name: "theirs", experiment_group: "faces" },
    });
    const { id } = await mirror({ groups: ["faces"] });
    await start({ experiment_group: "other" });
    const next = await start();
    await minute();
    expect((await log(id)).map((one: { task_id: number }) => one.task_id)).toEqual([next, live]);
    await ask(`/api/mirrors/${id}`, { past: true }, "PATCH");
    await minute();
    await minute();
    expect((await log(id)).map((one: { task_id: number }) => one.task_id)).toEqual([
      next,
      live,
      past,
    ]);
  });

  it("shares a minute's requests between mirrors, and leaves a failing one alone", async () => {
    await serve("20");
    const first = await mirror();
    const second = await mirror({ name: "second" });
    for (let n = 0; n < 3; n++) {
      const task = await start({ task_name: `t${n}` });
      await beat(
        task,
        1,
        points(1, 2, () => ({ loss: 1 })),
      );
    }
    await minute();
    expect(there.calls.length).toBeLessThanOrEqual(20);
    for (let n = 0; n < 4; n++) await minute();
    for (const { id } of [first, second])
      expect((await log(id)).map((one: { points: number }) => one.points)).toEqual([2, 2, 2]);
    // Both found the runs by their marks.
    expect(there.runs.size).toBe(3);
    away = new DOMException("late", "TimeoutError");
    const task = await start();
    await beat(
      task,
      1,
      points(1, 1, () => ({ loss: 1 })),
    );
    await minute();
    expect(await state(first.id)).toMatchObject({ error: "gave no answer within 10 seconds" });
  });

  it("is tested by one request, in plain words", async () => {
    const { id } = await mirror();
    expect(await ask(`/api/mirrors/${id}/test`, {})).toEqual({
      works: true,
      status: 200,
      error: null,
    });
    away = new TypeError(`cannot fetch https://${HOST}/?token=${TOKEN}`);
    expect(await ask(`/api/mirrors/${id}/test`, {})).toEqual({
      ...{ works: false, status: null, error: "cannot be reached" },
    });
  });

  it.each([
    ["http://127.0.0.1:5000", /must not point inside/],
    ["http://10.0.0.3", /must not point inside/],
    ["https://user:pw@mlflow.example.org", /give them as the token/],
    ["https://mlflow.example.org/?a=b", /without \? and #/],
    ["ftp://mlflow.example.org", /http/],
  ])("refuses the address %s", async (url, words) => {
    const made = await ask("/api/mirrors", { name: "m", url }, undefined, 422);
    expect(JSON.stringify(made)).toMatch(words);
    const { id } = await mirror();
    await ask(`/api/mirrors/${id}`, { url }, "PATCH", 422);
    // One that points inside by now is not asked either.
    await ledger.db.run(sql`update mirror set url = ${url}`);
    expect(await ask(`/api/mirrors/${id}/test`, {})).toMatchObject({ works: false, status: null });
    expect(there.calls).toHaveLength(0);
  });

  it("is changed by who read it last, noted without its token, and goes with its log", async () => {
    const { id } = await mirror();
    const task = await start();
    await beat(task, 1, []);
    await minute();
    const headers = { "If-Match": '"1"' };
    const patch = (status: number) =>
      ledger.call(
        `/api/mirrors/${id}`,
        { key: who.key, method: "PATCH", json: { name: "x", token: "new-secret" }, headers },
        status,
      );
    expect(await patch(200)).toMatchObject({ name: "x", has_token: true, version: 2 });
    await patch(412);
    const elsewhere = { url: "https://other.example.org" };
    expect(JSON.stringify(await ask(`/api/mirrors/${id}`, elsewhere, "PATCH", 422))).toContain(
      "token",
    );
    await ask(`/api/mirrors/${id}`, { ...elsewhere, token: "third" }, "PATCH");
    await ask(`/api/mirrors/${id}`, undefined, "DELETE", 204);
    await ask(`/api/mirrors/${id}/runs`, undefined, undefined, 404);
    const noted = await ledger.db.all<{ action: string }>(
      sql`select action, detail from audit_entry where subject = 'mirror' order by id`,
    );
    expect(noted.map(({ action }) => action)).toEqual([
      "mirror.create",
      "mirror.update",
      "mirror.update",
      "mirror.delete",
    ]);
    expect(JSON.stringify(noted)).not.toMatch(/nobody-may-see|new-secret/);
    expect(await ledger.db.all(sql`select token from mirror where token is not null`)).toEqual([]);
    await runSchedule(ledger.bindings);
    expect(await ledger.db.all(sql`select 1 from mirror_run`)).toEqual([]);
  });

  it("costs a row or two while nothing happens", async () => {
    const { id } = await mirror();
    const task = await start();
    await beat(task, 1, []);
    await ask(`/api/tasks/${task}/finish`, { status: "success" });
    await minute();
    await minute();
    const spy = vi.mocked(globalThis.fetch);
    spy.mockClear();
    await writeMirrors(ledger.db, ledger.config);
    expect(spy).toHaveBeenCalledTimes(2);
    expect(await log(id)).toMatchObject([{ state: "done" }]);
  });
});
