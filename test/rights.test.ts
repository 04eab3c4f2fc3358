// Every route × every role × every scope × own and other's rows, held against test/route-table.ts.
import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { app } from "../src/app.ts";
import { forgetKeys } from "../src/platform/auth/keys.ts";
import { trainingTask, user } from "../src/platform/db/schema.ts";
import { type KeyScope, keyScopes, type Role, roleScopes, roles } from "../src/shared/scopes.ts";
import { isTrackerPath } from "../src/trackers/paths.ts";
import { freshLedger, type Ledger } from "./harness.ts";
import {
  type Asked,
  type Owner,
  openRoutes,
  type RouteRights,
  routeTable,
  rowsOf,
} from "./route-table.ts";

const registered = [
  ...new Set(
    app.routes
      .filter((route) => route.method !== "ALL" && !route.path.endsWith("*"))
      .filter((route) => !isTrackerPath(route.path))
      .map((route) => `${route.method} ${route.path}`),
  ),
];

/** `with`: further scopes of its key, for the routes that ask for several. */
type Caller = { key: string; owner: Owner; role: Role; scope: KeyScope; with: KeyScope[] };

/** What keys are made with besides one of each scope: what routes ask for that take several. */
const together = [
  ...new Set(
    Object.values(routeTable).flatMap(({ scope, also }) =>
      scope !== null && also ? [[scope, ...also].join(" ")] : [],
    ),
  ),
].map((text) => text.split(" ") as KeyScope[]);

let ledger: Ledger;
let callers: Caller[];
/** Someone else's rows: a colleague's for people, and for a box those of its own user's other key. */
let stranger: Owner;

beforeAll(async () => {
  ledger = await freshLedger({ ALLOW_INSIDE_WEBHOOKS: "true" });
  callers = [];
  for (const role of roles) {
    const person = await ledger.key({ user: role });
    for (const scopes of [...keyScopes.map((scope) => [scope]), ...together]) {
      const { key, userId, keyId } = await ledger.key({ user: role, scopes, days: 30 });
      const [scope, ...others] = scopes;
      if (scope) callers.push({ key, owner: { userId, keyId }, role, scope, with: others });
    }
    await ledger.db.update(user).set({ role }).where(sql`id = ${person.userId}`);
  }
  stranger = await ledger.key();
  forgetKeys();
});

type Outcome = "done" | "hidden" | "forbidden";

/** What the table says of a call. */
function expected({ scope, also, box, reach }: RouteRights, caller: Caller, own: boolean): Outcome {
  if (caller.scope === "box") {
    if (!box || caller.role === "viewer") return "forbidden";
    return reach === "none" || own ? "done" : "hidden";
  }
  const allowed: readonly KeyScope[] = roleScopes[caller.role];
  const granted = [caller.scope, ...caller.with].filter((one) => allowed.includes(one));
  if (scope !== null && [scope, ...(also ?? [])].some((one) => !granted.includes(one)))
    return "forbidden";
  switch (reach) {
    case "none":
    case "read":
      return "done";
    case "write":
      return own || caller.role === "admin" ? "done" : "hidden";
    case "key":
      return own || granted.includes("admin") ? "done" : "hidden";
    case "line":
      return own ? "done" : "hidden";
    case "self":
      return own ? "done" : "forbidden";
    case "others":
      return own ? "forbidden" : "done";
  }
}

/** What a call really came to. */
async function outcome(route: RouteRights, caller: Caller, asked: Asked): Promise<string> {
  const { path, shows, ...sent } = asked;
  const response = await ledger.request(path, { ...sent, key: caller.key });
  const { status } = response;
  if (shows === undefined || status !== 200) {
    const text = new TextDecoder().decode(await response.arrayBuffer());
    if (status === 403) return "forbidden";
    if (status === (route.hidden ?? 404)) return "hidden";
    return status === (route.status ?? 200) ? "done" : `${status} ${text}`;
  }
  const text = await response.text();
  type Shown = { id: number };
  // Lists have items, the page of changes has tasks, and exports a line each.
  const { items, tasks }: { items?: Shown[]; tasks?: Shown[] } =
    response.headers.get("Content-Type") === "application/jsonl"
      ? { items: text.split("\n").flatMap((line) => (line ? JSON.parse(line) : [])) }
      : JSON.parse(text);
  return (items ?? tasks ?? []).some((item) => item.id === shows) ? "done" : "hidden";
}

const entries = (condition = sql`true`) =>
  ledger.db
    .all<{ n: number }>(sql`select count(*) as n from audit_entry where ${condition}`)
    .then(([row]) => row?.n ?? 0);

describe("every route", () => {
  it("stands in the table", () => {
    const missing = registered.filter((r) => !(r in routeTable) && !openRoutes.includes(r));
    expect(
      missing,
      "Add a line for each of these to test/route-table.ts: its scope, whose rows it reaches, a request, and for a write its audit action",
    ).toEqual([]);
    const gone = Object.keys(routeTable).filter((route) => !registered.includes(route));
    expect(gone, "These lines of test/route-table.ts name no route any more").toEqual([]);
    const unaudited = Object.entries(routeTable)
      .filter(([name, { audit }]) => !name.startsWith("GET ") && !audit)
      .map(([name]) => name);
    expect(unaudited, "Say in test/route-table.ts which audit entry these writes leave").toEqual(
      [],
    );
  });

  it.each(Object.entries(routeTable))(
    "%s lets through whom it should, and notes each change once",
    async (name, route) => {
      const before = await entries();
      const wrong: string[] = [];
      let done = 0;
      // What is refused changes nothing, so all who are refused may ask about the same rows.
      const refused = await route.ask(rowsOf(ledger, stranger));
      for (const caller of callers)
        for (const own of [true, false]) {
          const sibling = caller.scope === "box" && callers.find((c) => c.role === caller.role);
          const other = sibling ? sibling.owner : stranger;
          const wanted = expected(route, caller, own);
          // Whom no row is shown asks once: the refusal comes before any row is looked at.
          if (!own && wanted === "forbidden" && expected(route, caller, true) === "forbidden")
            continue;
          const asked =
            wanted === "forbidden" && route.reach !== "others"
              ? refused
              : await route.ask(rowsOf(ledger, own ? caller.owner : other));
          const got = await outcome(route, caller, asked);
          if (got === "done") done++;
          if (got !== wanted)
            wrong.push(
              `${caller.role} with ${[caller.scope, ...caller.with].join(" ")}, ${own ? "own" : "other's"} row: ${got} instead of ${wanted}`,
            );
        }
      expect(wrong, name).toEqual([]);
      const { audit } = route;
      const noted = await entries();
      expect(noted - before, "audit entries").toBe(typeof audit === "string" ? done : 0);
      if (typeof audit === "string")
        expect(
          await entries(sql`action = ${audit} and user_id is not null and id > ${before}`),
        ).toBe(done);
    },
    120_000,
  );

  it("hides what is in the trash, with all that belongs to it", async () => {
    const { key, userId, keyId } = await ledger.key({ role: "admin" });
    const admin: Caller = {
      key,
      owner: { userId, keyId },
      role: "admin",
      scope: "admin",
      with: [],
    };
    const newest = async () =>
      (
        await ledger.db.all<{ id: number }>(
          sql`select coalesce(max(id), 0) as id from training_task`,
        )
      )[0]?.id ?? 0;
    const wrong: string[] = [];
    let hidden = 0;
    for (const [name, route] of Object.entries(routeTable)) {
      // A model's version and a rule stand by themselves, whatever becomes of runs.
      if (name.includes(" /api/models") || name.includes(" /api/storage/rules/")) continue;
      // A claim is answered whether or not there is a task to give.
      if (name === "POST /api/queue/claim") continue;
      const before = await newest();
      const asked = await route.ask(rowsOf(ledger, admin.owner));
      if (route.trash || (await newest()) === before) continue;
      await ledger.db
        .update(trainingTask)
        .set({ deletedAt: "2026-01-01T00:00:00.000Z" })
        .where(sql`id > ${before}`);
      const got = await outcome(route, admin, asked);
      if (got === "hidden") hidden++;
      else wrong.push(`${name}: ${got}`);
    }
    expect(
      wrong,
      "These show or change tasks in the trash, or need `trash: true` in the table",
    ).toEqual([]);
    expect(hidden).toBeGreaterThan(20);
  });
});
