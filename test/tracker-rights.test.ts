// Every route of other trackers' protocols × every role × every scope, and other people's runs. The tables are
// test/trackers/rights-*.ts; a protocol adds a file of its own.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { app } from "../src/app.ts";
import { forgetKeys } from "../src/platform/auth/keys.ts";
import { user } from "../src/platform/db/schema.ts";
import { type KeyScope, keyScopes, type Role, roleScopes, roles } from "../src/shared/scopes.ts";
import { isTrackerPath } from "../src/trackers/paths.ts";
import { freshLedger, type Ledger } from "./harness.ts";
import type { TrackerTable } from "./trackers/rights.ts";

const tables = Object.values(
  import.meta.glob<{ table: TrackerTable }>("./trackers/rights-*.ts", { eager: true }),
).map(({ table }) => table);
const open = tables.flatMap(({ open = [] }) => open);
const rights = tables.flatMap((table) => Object.entries(table.rights));

const registered = [
  ...new Set(
    app.routes
      .filter(({ method, path }) => method !== "ALL" && isTrackerPath(path))
      .filter(({ path }) => tables.some(({ covers }) => covers(path)))
      .map(({ method, path }) => `${method} ${path}`),
  ),
];

let ledger: Ledger;
let callers: { key: string; role: Role; scope: KeyScope; task: number }[];
let stranger: { key: string; task: number };

const registerAs = async (key: string) =>
  (await ledger.call("/api/tasks", { key, json: { task_name: "a run" } })).task_id as number;
/** As SwanLab's client would have made it. */
const asTracked = (task: number, userId: number) =>
  ledger.db.run(sql`
    insert into tracker_run (task_id, tracker, user_id, project, run, alone)
    values (${task}, 'swanlab', ${userId}, 'p', ${`run ${task}`}, 1)`);

beforeAll(async () => {
  ledger = await freshLedger();
  callers = [];
  for (const role of roles) {
    const person = await ledger.key({ user: role, role: "admin" });
    for (const scope of keyScopes) {
      const made = await ledger.key({ user: role, role: "admin", scopes: [scope] });
      const task = await registerAs(scope === "box" ? made.key : person.key);
      await asTracked(task, made.userId);
      callers.push({ key: made.key, role, scope, task });
    }
    await ledger.db.update(user).set({ role }).where(sql`id = ${person.userId}`);
  }
  const other = await ledger.key();
  stranger = { key: other.key, task: await registerAs(other.key) };
  await asTracked(stranger.task, other.userId);
  forgetKeys();
});

const request = (path: string, init: RequestInit = {}) => ledger.request(path, init);

describe("every route of a tracker", () => {
  it("has a line in its table, and each line a route", () => {
    const lines = [...rights.map(([route]) => route), ...open];
    expect(registered.filter((route) => !lines.includes(route))).toEqual([]);
    expect(lines.filter((route) => !registered.includes(route))).toEqual([]);
  });

  it.each(rights)("%s is allowed to whom its line says", async (_, { scope, box, ask }) => {
    const wrong: string[] = [];
    for (const caller of callers) {
      const allowed: readonly KeyScope[] = roleScopes[caller.role];
      const may =
        caller.scope === "box"
          ? box && (scope === null || caller.role !== "viewer")
          : scope === null || (caller.scope === scope && allowed.includes(scope));
      const { path, ...sent } = await ask(caller, request);
      const response = await request(path, sent);
      const text = await response.text();
      const refused = response.status === 403;
      if (refused === may || response.status === 401 || response.status >= 500)
        wrong.push(`${caller.role} with ${caller.scope}: ${response.status} ${text}`);
    }
    expect(wrong).toEqual([]);
  });

  it.each(rights)("%s takes no call without a good key", async (_, { ask }) => {
    const key = "aaa.bbb.ccc";
    const asked = await Promise.resolve(ask({ key, task: stranger.task }, request)).catch(
      () => null,
    );
    // The token that it asks for was refused already.
    if (!asked) return;
    const { path, ...sent } = asked;
    expect((await request(path, sent)).status).toBe(401);
  });

  it.each(rights.filter(([, { reach }]) => reach))(
    "%s hides another's run",
    async (_, { reach, scope, ask }) => {
      const wrong: string[] = [];
      const reaching = callers.filter(
        (one) => one.role === "member" && (one.scope === scope || one.scope === "box"),
      );
      expect(reaching.length).toBeGreaterThan(1);
      for (const caller of reaching) {
        const key = reach === "joins" ? `${caller.key}.run${stranger.task}` : caller.key;
        const { path, ...sent } = await ask({ key, task: stranger.task }, request);
        const response = await request(path, sent);
        if (response.status !== 404)
          wrong.push(`${caller.scope}: ${response.status} ${await response.text()}`);
      }
      expect(wrong).toEqual([]);
    },
  );
});
