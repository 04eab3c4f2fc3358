// What a box's key may do to a stranger's queue, files, imports and states, to its own user's other
// runs, and to a run that was taken from it: every route, held against test/box-table.ts.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { apiKey, taskAttempt, trainingTask, weightKinds } from "../../src/platform/db/schema.ts";
import { type BoxOutcome, type BoxRights, boxTable, type Target } from "../box-table.ts";
import { freshLedger, type Ledger } from "../harness.ts";
import { type Owner, openRoutes, queued, routeTable, rowsOf } from "../route-table.ts";
import { unique } from "../unique.ts";

type Person = Awaited<ReturnType<Ledger["key"]>>;
type Box = { what: string; key: string; owner: Owner };

let ledger: Ledger;
let bert: Person;
/** Keys of boxes: made by hand, enrolled, and enrolled by an admin for everyone. */
let callers: Box[];
/** Tasks that are nothing of the caller's, by what they are: the same for all callers. */
let others: { what: string; target: Target; files: number[] }[];

const none = { source: "", idempotencyKey: "" };

/** The key's row behind an enrolled box. */
async function keyIdOf(boxId: number): Promise<number> {
  const [row] = await ledger.db
    .select({ id: apiKey.id })
    .from(apiKey)
    .where(sql`id = (select key_id from box where id = ${boxId})`);
  return row?.id ?? 0;
}

async function enrolled(what: string, by: Person, enrolment = {}): Promise<Box> {
  const { key, id } = await ledger.box(by.key, enrolment);
  return { what, key, owner: { userId: by.userId, keyId: await keyIdOf(id) } };
}

/** A task of `user`, at an attempt that `runner` runs, with the runner's files of each kind if asked. */
async function running(userId: number, runner: Owner, withFiles = true) {
  const task = await rowsOf(ledger, { userId, keyId: runner.keyId }).task({
    ...queued,
    status: "running",
    attempt: 1,
    agent: "gpu0",
  });
  await rowsOf(ledger, runner).config(task);
  await attempted(task, 1, runner.keyId);
  return { task, files: withFiles ? await files(task, 1, runner) : noFiles };
}

const attempted = (taskId: number, attempt: number, keyId: number) =>
  ledger.db.insert(taskAttempt).values({ taskId, attempt, keyId, agent: "gpu0" });

const noFiles = { complete: [] as number[], uploading: [] as number[] };

/** Files of each kind: every other complete, and the rest on its way. */
async function files(taskId: number, attempt: number, by: Owner) {
  const made = structuredClone(noFiles);
  for (const [n, kind] of weightKinds.entries()) {
    const state = n % 2 ? "uploading" : "complete";
    made[state].push((await rowsOf(ledger, by).file(state, kind, { taskId, attempt })).id);
  }
  return made;
}

beforeAll(async () => {
  ledger = await freshLedger();
  const anna = await ledger.key();
  bert = await ledger.key();
  const admin = await ledger.key({ role: "admin" });
  const loose = await ledger.key({ scopes: ["box"], user: anna.userName });
  callers = [
    { what: "a key without a box", key: loose.key, owner: loose },
    await enrolled("an enrolled box", anna),
    await enrolled("an admin's shared box", admin, { shared: true }),
  ];
  const theirs = await enrolled("a stranger's box", bert);
  const of = (task: number, attempt: number, file = 0): Target => ({
    ...{ task, attempt, file, ...none },
  });
  const both = ({ complete, uploading }: { complete: number[]; uploading: number[] }) => [
    ...complete,
    ...uploading,
  ];
  others = [];
  const strangers = await running(bert.userId, theirs.owner);
  others.push({ what: "runs", target: of(strangers.task, 1), files: both(strangers.files) });
  const waits = await rowsOf(ledger, bert).task({ ...queued, labels: ["nobody"] });
  await rowsOf(ledger, bert).config(waits);
  others.push({ what: "waits", target: of(waits, 1), files: [] });
  for (const person of [bert, anna, admin]) {
    const register = async (json: object, headers = {}) =>
      (await ledger.call("/api/tasks", { key: person.key, json, headers })).task_id;
    const [source, idempotencyKey] = [unique("wandb:run/"), unique("key-")];
    const imported = await register({ task_name: "new", import: { source } });
    const named = await register({ task_name: "new" }, { "Idempotency-Key": idempotencyKey });
    const own = await running(person.userId, person);
    others.push(
      { what: "was imported", target: { ...of(imported, 1), source }, files: [] },
      { what: "was registered", target: { ...of(named, 1), idempotencyKey }, files: [] },
      { what: "a person runs", target: of(own.task, 1), files: both(own.files) },
    );
  }
}, 60_000);

/** What a call really came to. */
async function outcome({ ask }: BoxRights, target: Target, { key }: Box): Promise<string> {
  const { path, shows, ...sent } = ask(target);
  const response = await ledger.request(path, { ...sent, key });
  const { status } = response;
  const text = new TextDecoder().decode(await response.arrayBuffer());
  if (status === 404) return "hidden";
  if (status === 409) return text.includes("urn:lora-ledger:superseded") ? "told" : "refused";
  if (status !== 200) return `${status} ${text}`;
  if (shows !== undefined) {
    const { items }: { items: { id: number }[] } = JSON.parse(text);
    return items.some(({ id }) => id === shows) ? "done" : "hidden";
  }
  // These two name no task, and are answered about one.
  if (path !== "/api/tasks" && path !== "/api/queue/claim") return "done";
  const answer: { task_id?: number; task: { id: number } | null } = JSON.parse(text);
  return (answer.task_id ?? answer.task?.id) === target.task ? "done" : "apart";
}

const boxRoutes = Object.entries(routeTable).flatMap(([name, { box }]) => (box ? [name] : []));

describe("a box's key", () => {
  it("has a line in the table for every route that it may call", () => {
    expect(
      boxRoutes.filter((name) => !(name in boxTable)),
      "Say in test/box-table.ts what these come to of tasks that are not the box's",
    ).toEqual([]);
    expect(Object.keys(boxTable).filter((name) => !boxRoutes.includes(name))).toEqual([]);
  });

  it("may call no other route, whosever row it names", async () => {
    const wrong: string[] = [];
    let asked = 0;
    for (const [name, route] of Object.entries(routeTable)) {
      if (route.box || openRoutes.includes(name)) continue;
      const { path, shows: _, ...sent } = await route.ask(rowsOf(ledger, bert));
      for (const { what, key, owner } of callers)
        for (const about of [{ path, ...sent }, await route.ask(rowsOf(ledger, owner))]) {
          const { status } = await ledger.request(about.path, { ...about, key });
          asked++;
          if (status !== 403) wrong.push(`${name} by ${what}: ${status}`);
        }
    }
    expect(wrong).toEqual([]);
    expect(asked).toBeGreaterThan(200);
  }, 120_000);

  it.each(Object.entries(boxTable))("%s", async (name, rights) => {
    const wrong: string[] = [];
    // Making files is most of the work, and few routes are about one.
    const withFiles = rights.file !== undefined;
    const check = async (caller: Box, what: string, target: Target, wanted: BoxOutcome) => {
      const got = await outcome(rights, target, caller);
      if (got !== wanted) wrong.push(`${caller.what}, ${what}: ${got} instead of ${wanted}`);
    };
    for (const caller of callers) {
      for (const { what, target, files } of others)
        for (const file of rights.file ? files : [0])
          await check(
            caller,
            `a task that ${what}`,
            { ...target, file },
            rights.others ?? "hidden",
          );

      // A task that another owner's box ran first and that the caller runs now, with both's files.
      const [shared] = callers.slice(-1);
      const first = caller === shared ? bert : shared?.owner;
      if (!first) throw new Error("there is no other owner's box");
      const userId = caller === shared ? bert.userId : caller.owner.userId;
      const { task, files: earlier } = await running(userId, first, withFiles);
      await ledger.db
        .update(trainingTask)
        .set({ attempt: 2, keyId: caller.owner.keyId })
        .where(sql`id = ${task}`);
      await attempted(task, 2, caller.owner.keyId);
      const own = withFiles ? await files(task, 2, caller.owner) : noFiles;
      const about = (file: number): Target => ({ task, attempt: 2, file, ...none });
      if (rights.file) {
        for (const file of [...earlier.complete, ...earlier.uploading])
          await check(caller, "another owner's file", about(file), "hidden");
        for (const file of own[rights.file])
          await check(caller, "its own file", about(file), rights.running);
      } else await check(caller, "a task that it runs", about(0), rights.running);

      // A task that it ran and that its owner has put back into the queue.
      const gone = await running(userId, caller.owner, withFiles);
      const person = caller === shared ? bert.key : (await ownerKey(caller)).key;
      await ledger.call(`/api/tasks/${gone.task}/requeue`, {
        ...{ key: person, json: { labels: ["nobody"] } },
      });
      const left = [...gone.files.complete, ...gone.files.uploading];
      // A route about a file names no attempt.
      for (const attempt of rights.file ? [1] : [1, 2, 3])
        for (const file of rights.file ? left : [0])
          await check(
            caller,
            `a task that was taken from it, attempt ${attempt}`,
            { task: gone.task, attempt, file, ...none },
            rights.taken,
          );
    }
    expect(wrong, name).toEqual([]);
  });

  it("pulls a stranger's task only where an admin shares the box", async () => {
    const task = await rowsOf(ledger, bert).task({ ...queued, labels: ["here"] });
    for (const caller of callers) {
      const answer = await ledger.call("/api/queue/claim", {
        ...{ key: caller.key, json: { agent: unique("slot "), labels: ["here"] } },
      });
      const shared = caller.what.includes("shared");
      expect(answer.task?.id, caller.what).toBe(shared ? task : undefined);
    }
  });
});

/** A key of the person whose box the caller is. */
async function ownerKey({ owner }: Box) {
  const [row] = await ledger.db.all<{ name: string; role: "member" | "admin" }>(
    sql`select name, role from user where id = ${owner.userId}`,
  );
  if (!row) throw new Error("the owner's row did not come back");
  return ledger.key({ user: row.name, role: row.role });
}
