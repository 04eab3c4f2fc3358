import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger, unique } from "../../test/harness.ts";
import { statuses } from "../platform/db/schema.ts";
import { advanceQueue } from "../queue/advance.ts";
import { sweepLost } from "../queue/lost.ts";
import { emptyTrash } from "./purge.ts";
import text from "./states.ts?raw";

let ledger: Ledger;
let person: Awaited<ReturnType<Ledger["key"]>>;
let box: string;

beforeAll(async () => {
  ledger = await freshLedger();
  person = await ledger.key();
  box = (await ledger.box(person.key)).key;
});

/** The table of states.ts by state and event. */
function readTable(source: string): Map<string, Map<string, string>> {
  const table = new Map<string, Map<string, string>>();
  let states: string[] = [];
  for (const line of source.split("\n")) {
    const [, row] = /^ \* \|(.*)\|$/.exec(line) ?? [];
    if (row === undefined || /^[-|]+$/.test(row)) continue;
    const [event = "", ...cells] = row.split("|").map((cell) => cell.trim());
    if (event === "event") states = cells;
    else
      for (const [n, state] of states.entries())
        table.set(state, (table.get(state) ?? new Map()).set(event, cells[n] ?? ""));
  }
  return table;
}
const table = readTable(text);

/** A run of a test: one to itself of each cell. In the queue it asks for a label that no other has. */
type Run = { id: number; label: string; seq: number };

const send = (run: Run, path: string, json: unknown = {}, method = "POST") =>
  ledger.request(`/api/tasks/${run.id}${path}`, { key: person.key, json, method });

const finish = (json: object) => (run: Run) => send(run, "/finish", json);

/** What may happen to a run; answers with the HTTP status where somebody asks for it. */
const events: Record<string, (run: Run) => Promise<Response | undefined>> = {
  open: (run) => send(run, "/attempts"),
  claim: async ({ label }) =>
    ledger.request("/api/queue/claim", {
      key: box,
      json: { agent: unique("slot"), labels: [label] },
    }),
  beat: (run) => send(run, "/heartbeat", { seq: ++run.seq }),
  succeed: finish({ status: "success" }),
  fail: finish({ status: "failed", error_message: "broken", exit_code: 1 }),
  stop: finish({ status: "cancelled" }),
  preempt: finish({ status: "failed", failure_reason: "preempted" }),
  "lease ends": async ({ id }) => {
    await ledger.db.run(sql`
      update training_task set heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour') where id = ${id}`);
    await sweepLost(ledger.db, ledger.config);
    return undefined;
  },
  silence: async ({ id }) => {
    await ledger.db.run(sql`
      insert or ignore into tracker_run (task_id, tracker, user_id, project, run, alone)
      values (${id}, 'trackio', ${person.userId}, 'p', ${`${id}`}, 1)`);
    await ledger.db.run(sql`
      update training_task set heartbeat_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hour') where id = ${id}`);
    await sweepLost(ledger.db, ledger.config);
    return undefined;
  },
  cancel: (run) => send(run, "/cancel"),
  retry: (run) => send(run, "/retry"),
  requeue: (run) => send(run, "/requeue", { labels: [run.label] }),
  due: async ({ id }) => {
    await ledger.db.run(sql`
      update training_task set queue_due_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 minute')
      where id = ${id} and queue_due_at is not null`);
    await advanceQueue(ledger.db);
    return undefined;
  },
  trash: ({ id }) => ledger.request(`/api/tasks/${id}`, { key: person.key, method: "DELETE" }),
  restore: (run) => send(run, "/restore"),
  points: (run) =>
    send(run, "/attempts/1/logs", {
      seq: 1,
      logs: [{ step: 1, time: "2026-05-01T10:00:00Z", metrics: { loss: 0.5 } }],
    }),
  purge: async ({ id }) => {
    await ledger.db.run(sql`
      update training_task set deleted_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-400 days')
      where id = ${id} and deleted_at is not null`);
    await emptyTrash(ledger.db, ledger.bindings, ledger.config);
    return undefined;
  },
};

async function register(fields: (label: string) => object): Promise<Run> {
  const label = unique("label-");
  const json = { task_name: "a run", ...fields(label) };
  const { task_id: id } = await ledger.call("/api/tasks", { key: person.key, json });
  return { id, label, seq: 0 };
}
const byHand = () => register(() => ({}));
const queued = () => register((label) => ({ queue: { labels: [label] } }));
const inAnHour = () => new Date(Date.now() + 3_600_000).toISOString();

/** How a run comes into each state: registered so, and then by these events. */
const ways: Record<string, [() => Promise<Run>, ...string[]]> = {
  new: [byHand],
  "put back": [byHand, "open", "fail", "retry"],
  waiting: [() => register((label) => ({ queue: { labels: [label], not_before: inAnHour() } }))],
  ready: [queued],
  "given back": [queued, "claim", "preempt"],
  "lease over": [queued, "claim", "lease ends"],
  running: [byHand, "open"],
  leased: [queued, "claim"],
  stopping: [byHand, "open", "cancel"],
  success: [byHand, "open", "succeed"],
  failed: [byHand, "open", "fail"],
  lost: [byHand, "open", "lease ends"],
  cancelled: [byHand, "open", "stop"],
  "called off": [byHand, "cancel"],
  imported: [
    () =>
      register(() => ({
        import: {
          source: unique("elsewhere-"),
          status: "success",
          finished_at: "2026-05-01T10:00:00Z",
        },
      })),
  ],
  trashed: [byHand, "open", "fail", "trash"],
};

type Row = Record<string, string | number | null>;

const read = async (id: number) => ({
  task: (await ledger.db.all<Row>(sql`select * from training_task where id = ${id}`))[0],
  attempts: await ledger.db.all<Row>(
    sql`select * from task_attempt where task_id = ${id} order by attempt`,
  ),
});

/** The state of a run as its rows say it. */
function stateOf({ task, attempts }: Awaited<ReturnType<typeof read>>): string {
  if (!task) return "gone";
  const last = attempts.find(({ attempt }) => attempt === task.attempt);
  if (task.deleted_at !== null) return "trashed";
  if (task.status === "pending") {
    if (task.queue_waiting === null) return task.attempt === 0 ? "new" : "put back";
    if (Number(task.queue_waiting) > 0) return "waiting";
    if (last?.failure_reason === "preempted") return "given back";
    return last?.failure_reason === "lost" ? "lease over" : "ready";
  }
  if (task.status === "running") {
    if (task.cancel_requested) return "stopping";
    const again = task.queue_waiting !== null && Number(task.attempt) < Number(task.attempt_limit);
    return again ? "leased" : "running";
  }
  if (task.import_source !== null) return "imported";
  if (task.status === "failed" && task.failure_reason === "lost") return "lost";
  if (task.status === "cancelled" && task.attempt === 0) return "called off";
  return String(task.status);
}

/** What must hold of a run's rows in every state; answers with what does not. */
function contradictions({ task, attempts }: Awaited<ReturnType<typeof read>>): string[] {
  if (!task) return [];
  const faults: string[] = [];
  const open = attempts.filter(({ status }) => status === "running");
  const current = open.filter(({ attempt }) => attempt === task.attempt);
  if (task.status === "running" && task.attempt === 0) faults.push("a running attempt 0");
  if (open.length > 1 || open.length !== current.length) faults.push("an attempt before is open");
  if (task.status !== "running" && open.length) faults.push("an attempt is open after the end");
  if (task.status === "running" && !open.length) faults.push("no attempt is open");
  const ended = task.status !== "running" && task.status !== "pending";
  if (ended !== (task.finished_at !== null)) faults.push(`finished_at is ${task.finished_at}`);
  if (task.cancel_requested && task.status !== "running") faults.push("still to be cancelled");
  if (attempts.some(({ attempt }) => Number(attempt) > Math.max(1, Number(task.attempt))))
    faults.push("an attempt beyond the last");
  return faults;
}

describe("the table of states", () => {
  it("has a line for each event, in each state that a run can come into", () => {
    expect([...table.keys()].sort()).toEqual(Object.keys(ways).sort());
    for (const row of table.values()) expect([...row.keys()]).toEqual(Object.keys(events));
  });

  it.each(Object.entries(ways))("is right for a run that is %s", async (state, [make, ...way]) => {
    const wrong: string[] = [];
    for (const [event, cell] of table.get(state) ?? []) {
      const run = await make();
      for (const step of way) await events[step]?.(run);
      const before = await read(run.id);
      expect(stateOf(before), way.join(", ")).toBe(state);
      const answer = await events[event]?.(run);
      const after = await read(run.id);
      const refused = answer !== undefined && answer.status >= 400;
      const next = stateOf(after);
      const opened = after.attempts.length > before.attempts.length;
      const stayed = next === state && !opened;
      const said = refused ? `${answer.status}` : stayed ? "=" : `${next}${opened ? " +" : ""}`;
      if (said !== cell) wrong.push(`${event}: ${said} instead of ${cell}`);
      if (refused && JSON.stringify(after) !== JSON.stringify(before))
        wrong.push(`${event}: refused, and yet it changed something`);
      for (const fault of contradictions(after)) wrong.push(`${event}: ${fault}`);
    }
    expect(wrong).toEqual([]);
  });
});

describe("the trigger beneath", () => {
  /** Changes of status that some event makes; those marked + to a higher attempt alone. */
  const allowed = new Set([
    ...["pending running", "pending cancelled"],
    ...["running pending", "running success", "running failed", "running cancelled"],
    ...["failed running +", "failed pending +", "cancelled running +", "cancelled pending +"],
  ]);

  it("lets each status become what some event makes of it, and nothing else", async () => {
    const changed: string[] = [];
    const cases = statuses.flatMap((from) =>
      (from === "failed" ? ["error", null] : [null]).flatMap((reason) =>
        statuses.flatMap((to) => [0, 1].map((more) => ({ from, reason, to, more }))),
      ),
    );
    for (const { from, reason, to, more } of cases) {
      if (from === to) continue;
      const [row] = await ledger.db.all<{ id: number }>(sql`
        insert into training_task (user_id, task_name, registration_key, registration_hash, status, failure_reason, attempt)
        values (${person.userId}, 'raw', ${unique("raw-")}, '', ${from}, ${reason}, 1) returning id`);
      const done = await ledger.db
        .run(
          sql`update training_task set status = ${to}, attempt = attempt + ${more} where id = ${row?.id}`,
        )
        .then(
          () => true,
          () => false,
        );
      const key = `${from} ${to}`;
      if (done !== (allowed.has(key) || (more === 1 && allowed.has(`${key} +`))))
        changed.push(
          `${key} (${reason}) ${more ? "with a new attempt" : ""}: ${done ? "done" : "refused"}`,
        );
    }
    expect(changed).toEqual([]);
  });
});
