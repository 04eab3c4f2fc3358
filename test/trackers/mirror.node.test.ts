// Runs written into a real `mlflow server` while they train, with each side killed meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import { sql } from "drizzle-orm";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../scripts/local/database.ts";
import { runScheduled } from "../../scripts/local/worker.ts";
import { answering, startReceiver } from "../receiver.ts";
import { eventually, type Stack, startStack } from "../stack.ts";
import { trackersPython } from "./clients.ts";
import { startMlflow } from "./mlflow-server.ts";

const python = trackersPython();
const base = "https://ledger.example";

describe.skipIf(!python)("a mirror into a real mlflow server", () => {
  let stack: Stack;
  let mlflow: Awaited<ReturnType<typeof startMlflow>>;
  beforeAll(async () => {
    stack = await startStack({
      ...{ ALLOW_INSIDE_WEBHOOKS: "true", PUBLIC_URL: base, MIRROR_REQUESTS_A_MINUTE: "30" },
      HEARTBEAT_INTERVAL_SEC: "30",
      LOST_AFTER_SEC: "3600",
    });
    mlflow = await startMlflow(python ?? "", stack.home);
  }, 240_000);
  afterAll(async () => {
    await mlflow?.stop();
    await stack?.stop();
  });

  const inDatabase = async <T>(
    work: (db: ReturnType<typeof openDatabase>) => Promise<T>,
  ): Promise<T> => {
    const db = openDatabase({ url: stack.databaseUrl() });
    try {
      return await work(db);
    } finally {
      db.$client.close();
    }
  };
  /** A minute of the schedule, at which nothing waits any longer. */
  async function minute() {
    await inDatabase((db) => db.run(sql`update mirror set next_at = null`));
    await runScheduled(stack.url);
  }
  const logOf = async (mirror: number, task: number) =>
    (await stack.api(`/api/mirrors/${mirror}/runs?limit=200`)).items.find(
      (one: { task_id: number }) => one.task_id === task,
    );
  const timeOf = (step: number) => Date.UTC(2026, 0, 2) + step * 1000;
  /** Values of a step, an odd one among them. */
  const valuesOf = (step: number) => ({
    loss: step % 50 === 7 ? "NaN" : 1 / step,
    "lr/unet (last)": 1e-4 * step,
  });
  const beat = (task: number, seq: number, from: number, count: number) =>
    stack.api(`/api/tasks/${task}/heartbeat`, {
      ...{ attempt: 1, seq, progress: { step: from + count - 1 } },
      logs: Array.from({ length: count }, (_, n) => ({
        step: from + n,
        time: new Date(timeOf(from + n)).toISOString(),
        metrics: valuesOf(from + n),
      })),
    });
  const mirror = (more: object) =>
    stack.api("/api/mirrors", { name: "lab", url: mlflow.url, ...more });

  it("has each point once after outages of both, with settings, state, links and files' names", async () => {
    const groups = ["live"];
    const { id } = await mirror({ groups });
    const other = await mirror({ name: "other", groups: ["another group"] });
    const config = { text: "network_dim = 16\n", format: "toml" };
    const settings = { lora_rank: 16, learning_rate: 1e-4, optimizer: "AdamW" };
    const { task_id } = await stack.api("/api/tasks", {
      ...{ task_name: "aki", experiment_group: "live", config, tags: { kind: "style" } },
      ...{ ...settings, notes: "first try" },
    });
    const elsewhere = await stack.api("/api/tasks", {
      task_name: "b",
      experiment_group: "another group",
    });
    await beat(elsewhere.task_id, 1, 1, 5);

    // It trains all the while; each side is killed in the midst of writing.
    let step = 1;
    let seq = 1;
    const train = async () => {
      await beat(task_id, seq++, step, 120);
      step += 120;
    };
    await train();
    await minute();
    expect((await mlflow.runs("live"))[0].info).toMatchObject({
      run_name: "aki",
      status: "RUNNING",
    });

    for (let n = 0; n < 40; n++) await train();
    const written = minute();
    await eventually("points on their way", async () => (await logOf(id, task_id)).points > 120);
    await mlflow.kill9();
    await written;
    expect(await stack.api(`/api/mirrors/${id}`)).toMatchObject({
      failures: 1,
      error: "cannot be reached",
    });
    await train();
    await minute();
    expect(await stack.api(`/api/mirrors/${id}`)).toMatchObject({ failures: 2 });
    await mlflow.revive();

    for (let n = 0; n < 40; n++) await train();
    const before = (await logOf(id, task_id)).points;
    const broken = minute().catch(() => null);
    await eventually(
      "more points on their way",
      async () => (await logOf(id, task_id)).points > before,
    );
    stack.killWorker();
    await broken;
    await stack.reviveWorker();
    await train();
    await stack.api(`/api/tasks/${task_id}/finish`, {
      attempt: 1,
      status: "success",
      final_loss: 0.25,
    });
    await eventually("the end", async () => {
      await minute();
      return (await logOf(id, task_id)).state === "done";
    });

    const last = step - 1;
    const [run, ...more] = await mlflow.runs("live");
    expect(more).toEqual([]);
    expect(run.info).toMatchObject({ run_name: "aki", status: "FINISHED" });
    const task = await stack.api(`/api/tasks/${task_id}`);
    expect(run.info.end_time).toBe(Date.parse(task.finished_at));
    expect(run.info.start_time).toBe(Date.parse(task.started_at ?? task.created_at));
    const pairs = (list: { key: string; value: string }[]) =>
      Object.fromEntries(list.map(({ key, value }) => [key, value]));
    expect(pairs(run.data.params)).toMatchObject({
      ...{ lora_rank: "16", learning_rate: "0.0001", optimizer: "AdamW" },
      "config.network_dim": "16",
    });
    expect(pairs(run.data.tags)).toMatchObject({
      ...{ "lora_ledger.task": String(task_id), "lora_ledger.url": `${base}/runs/${task_id}` },
      ...{ kind: "style", "lora_ledger.final_loss": "0.25" },
      "mlflow.note.content": `[aki](${base}/runs/${task_id}) in LoRA Ledger\n\nfirst try`,
    });
    const line = await logOf(id, task_id);
    expect(line).toMatchObject({
      ...{ points: last, points_total: last, error: null, run_id: run.info.run_id },
      run_url: `${mlflow.url}/#/experiments/${run.info.experiment_id}/runs/${run.info.run_id}`,
    });

    const names = run.data.metrics.map(({ key }: { key: string }) => key).sort();
    expect(names).toEqual(["loss", expect.stringMatching(/^lr\/unet _last_-[0-9a-f]{8}$/)]);
    for (const [name, of] of [
      ["loss", (n: number) => valuesOf(n).loss],
      [names[1], (n: number) => valuesOf(n)["lr/unet (last)"]],
    ] as const) {
      const kept = await mlflow.history(run.info.run_id, name);
      expect(
        kept
          .map((one) => [one.step, one.timestamp, one.value])
          .toSorted((a, b) => Number(a[0]) - Number(b[0])),
      ).toEqual(Array.from({ length: last }, (_, n) => [n + 1, timeOf(n + 1), of(n + 1)]));
    }
    // The other mirror has its own run alone.
    expect(
      (await mlflow.runs("another group")).map(
        (one: { info: { run_name: string } }) => one.info.run_name,
      ),
    ).toEqual(["b"]);
    expect(await logOf(other.id, task_id)).toBeUndefined();
    expect(await logOf(other.id, elsewhere.task_id)).toMatchObject({ state: "open", points: 5 });
  }, 300_000);

  it("opens a run again that is tried again, and refuses one that was deleted there until it is wanted anew", async () => {
    const { id } = await mirror({ groups: ["again"] });
    const { task_id } = await stack.api("/api/tasks", {
      task_name: "c",
      experiment_group: "again",
      lora_rank: 4,
    });
    await beat(task_id, 1, 1, 3);
    await stack.api(`/api/tasks/${task_id}/finish`, { attempt: 1, status: "failed" });
    await minute();
    expect((await mlflow.runs("again"))[0].info).toMatchObject({ status: "FAILED" });
    await stack.api(`/api/tasks/${task_id}/attempts`, {});
    await minute();
    const [run] = await mlflow.runs("again");
    expect(run.info.status).toBe("RUNNING");
    await mlflow.ask("runs/delete", { run_id: run.info.run_id });
    await stack.api(`/api/tasks/${task_id}/finish`, { attempt: 2, status: "success" });
    await minute();
    expect(await logOf(id, task_id)).toMatchObject({
      state: "refused",
      error: expect.stringMatching(/deleted/),
    });
    await stack.api(`/api/mirrors/${id}/runs/${task_id}/retry?anew=true`, {});
    await minute();
    const [anew] = await mlflow.runs("again");
    expect(anew.info).toMatchObject({ status: "FINISHED" });
    expect(anew.info.run_id).not.toBe(run.info.run_id);
    expect(await mlflow.history(anew.info.run_id, "loss")).toHaveLength(3);
  }, 120_000);

  it("waits for servers that answer nothing, a page or an error, while others get their points", async () => {
    const never = await startReceiver(() => {});
    const page = await startReceiver(answering(200, "<html>sign in</html>"));
    const broken = await startReceiver(answering(500, "oops"));
    const refuses = await startReceiver(answering(401, "who are you?"));
    const all = [never, page, broken, refuses];
    try {
      const groups = ["patient"];
      const bad = [];
      for (const { url } of all) bad.push(await mirror({ url, token: "not-this-one", groups }));
      const good = await mirror({ groups });
      const { task_id } = await stack.api("/api/tasks", {
        task_name: "d",
        experiment_group: "patient",
      });
      await beat(task_id, 1, 1, 4);
      await runScheduled(stack.url);
      await eventually("the points", async () => (await logOf(good.id, task_id))?.points === 4);
      const errors = [];
      for (const { id } of bad) errors.push((await stack.api(`/api/mirrors/${id}`)).error);
      expect(errors).toEqual([
        "gave no answer within 10 seconds",
        expect.stringMatching(/something other than JSON/),
        "was answered 500",
        expect.stringMatching(/does not accept the token/),
      ]);
      expect(refuses.got[0]?.headers.authorization).toBe("Bearer not-this-one");
      for (const { id } of bad)
        expect(
          JSON.stringify([await stack.api(`/api/mirrors/${id}`), await logOf(id, task_id)]),
        ).not.toContain("not-this-one");
      expect(await stack.api(`/api/mirrors/${good.id}/test`, {})).toEqual({
        works: true,
        status: 200,
        error: null,
      });
    } finally {
      for (const { close } of all) await close();
      await sleep(0);
    }
  }, 120_000);

  it("writes a long run of the past in steps, and says how far it is", async () => {
    const { task_id } = await stack.api("/api/tasks", {
      task_name: "long",
      experiment_group: "past",
    });
    for (let n = 0; n < 20; n++) await beat(task_id, n + 1, 1 + n * 1000, 1000);
    await stack.api(`/api/tasks/${task_id}/finish`, { attempt: 1, status: "success" });
    const { id } = await mirror({ groups: ["past"], past: true });
    const progress: number[] = [];
    await eventually(
      "the last point",
      async () => {
        await minute();
        const line = await logOf(id, task_id);
        progress.push(line.points / line.points_total);
        return line.state === "done";
      },
      200,
    );
    // 30 requests a minute write less than the run has.
    expect(progress.length).toBeGreaterThan(1);
    expect(progress[0]).toBeGreaterThan(0);
    expect(progress[0]).toBeLessThan(1);
    const [run] = await mlflow.runs("past");
    expect(await mlflow.history(run.info.run_id, "loss")).toHaveLength(20_000);
  }, 240_000);
});
