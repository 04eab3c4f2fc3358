import type { InferRequestType } from "hono/client";
import { api, read } from "../../api.ts";
import { type Asked, readRows } from "./queries.ts";

/** Runs that the page changes in one go: it reads the id of each first. */
export const MOST_RUNS_AT_ONCE = 5000;
/** Runs of one dry run, and of one change: many small changes show how far it is. */
const PLANNED = 1000;
const CHANGED = 200;
const READ = 200;

type Body = InferRequestType<typeof api.tasks.bulk.$post>["json"];
type Without<T, K extends string> = T extends unknown ? Omit<T, K> : never;
/** What is to be done to runs. */
export type Change = Without<Body, "filter" | "q" | "ids" | "dry_run" | "expect" | "cursor">;
export type BulkAction = "tag" | "group" | "queue" | "cancel" | "delete" | "restore";

export type Skipped = { reason: string; count: number }[];
/** What a change came to, or would come to. */
export type Sum = { matched: number; changed: number; skipped: Skipped };
export const noSum: Sum = { matched: 0, changed: 0, skipped: [] };

/** A run, and what a change replaces: null where it has none. */
export type Target = { id: number; before: string | null };

export const add = (a: Sum, b: Sum): Sum => {
  const counts = new Map(a.skipped.map(({ reason, count }) => [reason, count]));
  for (const { reason, count } of b.skipped) counts.set(reason, (counts.get(reason) ?? 0) + count);
  return {
    matched: a.matched + b.matched,
    changed: a.changed + b.changed,
    skipped: [...counts].map(([reason, count]) => ({ reason, count })),
  };
};

const inParts = <T>(list: readonly T[], size: number): T[][] =>
  Array.from({ length: Math.ceil(list.length / size) }, (_, n) =>
    list.slice(n * size, (n + 1) * size),
  );

/**
 * The runs that are meant: those of a list, or all that the table's question chooses. `field` is what the change
 * replaces. Null: there are more than MOST_RUNS_AT_ONCE.
 */
export async function readTargets(
  asked: Asked,
  ids: readonly number[] | null,
  field: string | null,
): Promise<Target[] | null> {
  if (ids && field === null) return ids.map((id) => ({ id, before: null }));
  if (ids && ids.length > MOST_RUNS_AT_ONCE) return null;
  const questions: Asked[] = ids
    ? inParts(ids, READ).map((some) => ({
        ...{ filter: `id in (${some.join(", ")})`, q: "", status: "", user: "", order: "" },
        ...{ deleted: asked.deleted, fields: field ?? "" },
      }))
    : [{ ...asked, order: "", fields: field ?? "" }];
  const found: Target[] = [];
  for (const question of questions)
    for (let cursor: string | null = ""; cursor !== null; ) {
      const page: Awaited<ReturnType<typeof readRows>> = await readRows(question, {
        limit: String(READ),
        ...(cursor && { cursor }),
      });
      for (const { id, values } of page.items) {
        const [before = null] = values;
        found.push({ id, before: before === null ? null : String(before) });
      }
      if (found.length > MOST_RUNS_AT_ONCE) return null;
      cursor = page.next_cursor;
    }
  return found;
}

/** One call, and those that go on where it ended. */
async function call(change: Change, ids: number[], dry_run: boolean): Promise<Sum> {
  let sum = noSum;
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const json: Body = { ...change, ids, dry_run, ...(cursor && { cursor }) };
    const answer: Sum & { next_cursor: string | null } = await read(api.tasks.bulk.$post({ json }));
    sum = add(sum, answer);
    cursor = answer.next_cursor;
  }
  return sum;
}

/** What a change would do; nothing changes. */
export async function plan(change: Change, ids: number[]): Promise<Sum> {
  let sum = noSum;
  for (const some of inParts(ids, PLANNED)) sum = add(sum, await call(change, some, true));
  return sum;
}

/** A change of some runs. */
export type Job = { change: Change; ids: number[] };

export const jobsOf = (change: Change, targets: Target[]): Job[] =>
  inParts(
    targets.map(({ id }) => id),
    CHANGED,
  ).map((ids) => ({ change, ids }));

/** The field whose value a change replaces; null where it replaces none. */
export function replacedField(change: Change): string | null {
  if (change.action === "group") return "experiment_group";
  const [name] = change.action === "tag" ? Object.keys(change.tags) : [];
  return name === undefined ? null : `tags."${name.replaceAll('"', '""')}"`;
}

/** What puts runs back as they were; null where nothing can. */
export function undoOf(change: Change, targets: Target[]): Job[] | null {
  if (change.action === "delete") return jobsOf({ action: "restore" }, targets);
  if (change.action === "restore") return jobsOf({ action: "delete" }, targets);
  if (change.action !== "group" && change.action !== "tag") return null;
  const [[name, value] = ["", ""]] = change.action === "tag" ? Object.entries(change.tags) : [];
  const now = change.action === "group" ? change.group : value;
  const back = (before: string | null): Change =>
    change.action === "group"
      ? { action: "group", group: before }
      : before === null
        ? { action: "untag", tags: [name] }
        : { action: "tag", tags: { [name]: before } };
  const changed = targets.filter(({ before }) => before !== now);
  return [...Map.groupBy(changed, ({ before }) => before)].flatMap(([before, some]) =>
    jobsOf(back(before), some),
  );
}

/**
 * Does jobs one after another. `told` learns what is done so far, and how many of the jobs are; a job that fails
 * ends it with its error, and `from` goes on there later.
 */
export async function work(
  jobs: Job[],
  told: (sum: Sum, done: number) => void,
  { from = 0, sum = noSum, stopped }: { from?: number; sum?: Sum; stopped?: () => boolean } = {},
): Promise<void> {
  let all = sum;
  for (const [n, { change, ids }] of jobs.entries()) {
    if (n < from) continue;
    if (stopped?.()) return;
    all = add(all, await call(change, ids, false));
    told(all, n + 1);
  }
}
