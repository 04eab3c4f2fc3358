import { eq, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { Db } from "../db/client.ts";
import type { Cost } from "../db/cost.ts";
import { trainingTask } from "../db/schema.ts";
import type { Bindings, Config } from "../env.ts";
import { ApiError } from "../http/problem.ts";
import { type Auth, authenticate } from "./keys.ts";
import { limitCaller, limitFailures } from "./limits.ts";
import type { Scope } from "./scopes.ts";
import { prolong, refuseCrossSite, sessionCookie } from "./session.ts";

/** What every handler finds in its context. `auth` is there on all routes below /api. */
export type App = {
  Bindings: Bindings;
  Variables: {
    config: Config;
    db: Db;
    cost: Cost;
    auth: Auth;
    /** Where the platform says the request came from. */
    address: string | null;
    /** Runs work after the answer has gone out. */
    later: (work: Promise<unknown>) => void;
  };
};

const WEEK_MS = 7 * 86_400_000;

const challenge = { headers: { "WWW-Authenticate": 'Bearer realm="lora-ledger"' } };

/** The caller by the key, or the page's session, that the request brings. Throws ApiError 401. */
async function authenticateRequest(c: Context<App>) {
  const { db, config, later } = c.var;
  const header = c.req.header("Authorization");
  const [, token] = header?.match(/^Bearer +(\S+)$/i) ?? [];
  const cookie = header === undefined ? sessionCookie(c) : undefined;
  if (!token && !cookie)
    throw new ApiError(401, "no-key", "Send a key: `Authorization: Bearer <key>`.", challenge);
  if (!token) refuseCrossSite(c);
  return token
    ? authenticate(db, config, token, later)
    : authenticate(db, config, cookie ?? "", later, "session");
}

/** Asks for a key, or a page's session, on everything behind it. */
export const requireKey = createMiddleware<App>(async (c, next) => {
  const caller = await limitFailures(c, () => authenticateRequest(c));
  await limitCaller(c, caller);
  const auth = { ...caller, address: c.var.address };
  c.set("auth", auth);
  await next();
  if (auth.session) await prolong(c, auth);
  else if (auth.expiresAt && auth.expiresAt.getTime() - Date.now() < WEEK_MS)
    c.header("X-Key-Expires", auth.expiresAt.toISOString());
});

/** Throws ApiError 403 unless the caller holds all of these scopes; `why` says what needs them. */
export function requireScopes(
  auth: Auth,
  scopes: readonly Scope[],
  why = "This key cannot do this",
) {
  const lacking = scopes.filter((scope) => !auth.scopes.has(scope));
  if (lacking.length)
    throw new ApiError(
      403,
      "not-allowed",
      `${why}: it needs the scope${lacking.length > 1 ? "s" : ""} ${lacking.join(" and ")}, within the rights of a ${auth.role}.`,
    );
}

/**
 * Lets keys pass that hold `scope`, and those of `also`, within their user's role; `box: true` also
 * lets rented machines' keys pass, whose reach is then limited in each statement by readable() and
 * writable().
 */
export const allow = (
  scope: Scope | null,
  { box = false, also = [] }: { box?: boolean; also?: readonly Scope[] } = {},
) =>
  createMiddleware<App>(async (c, next) => {
    const { auth } = c.var;
    if (auth.box && !(box && auth.scopes.has("box")))
      throw new ApiError(
        403,
        "not-allowed",
        "A box key cannot do this: it registers runs, reports on them and uploads their weights.",
      );
    if (!auth.box && scope !== null) requireScopes(auth, [scope, ...also]);
    await next();
  });

/*
 * A box key reaches the runs that it holds: `training_task.key_id` names the key that registered or
 * claimed a run last, until somebody takes the run away. What happens to a run, and what is left of
 * it to the box's key:
 *
 * | event                                         | key_id     | the box's key afterwards                  |
 * |-----------------------------------------------|------------|-------------------------------------------|
 * | the box registers it, or claims it            | the box's  | reads, reports, opens attempts            |
 * | its lease ends (lost: failed or pending)      | stays      | the same: a heartbeat takes it back       |
 * | the box ends it (success, failed, Ctrl-C)     | stays      | the same: tries again what failed         |
 * | the box gives it back (preempted, pending)    | null       | closing                                   |
 * | a person cancels it while it runs             | stays      | the same, but opens no attempt            |
 * | … and its end comes, or its lease ends        | null       | closing                                   |
 * | a person cancels it while it waits            | null       | closing                                   |
 * | … before anybody has begun it                 | stays      | the same, but opens no attempt            |
 * | a person requeues it, or retries it as queued | null       | nothing: `superseded`                     |
 * | a person retries what no queue gave           | stays      | the same: it is begun by hand             |
 * | another key claims it or opens an attempt     | that key's | nothing: `superseded`                     |
 *
 * Closing: while the attempt that the box ran is the run's last, its key reads the run, brings the
 * points and files that are missing and reports the end, but begins nothing: see ranLast(). A later
 * attempt of another key leaves nothing but the answer `superseded`: see reportedOnce().
 */

/** Whether the caller's key holds the task: it registered or claimed it, and nobody took it away. */
const holds = (auth: Auth): SQL => eq(trainingTask.keyId, auth.keyId);

/** Whether the caller's key ran the task's last attempt: a box may bring what it still has of it. */
const ranLast = (auth: Auth): SQL =>
  sql`exists (select 1 from task_attempt mine where mine.task_id = ${trainingTask.id}
    and mine.attempt = max(${trainingTask.attempt}, 1) and mine.key_id = ${auth.keyId})`;

/** The condition under which a caller may see a task; belongs in the same `where` as its id. */
export const readable = (auth: Auth): SQL =>
  auth.box ? sql`(${holds(auth)} or ${ranLast(auth)})` : sql`true`;

/** The condition under which a caller may report on a task: what it may change, or has run last. */
export const reportable = (auth: Auth): SQL =>
  auth.box ? readable(auth) : sql`(${writable(auth)} or ${holds(auth)})`;

/** Whether the caller's key once ran an attempt of the task: the answer is `superseded`, no more. */
export const reportedOnce = (auth: Auth): SQL =>
  sql`exists (select 1 from task_attempt once where once.task_id = ${trainingTask.id} and once.key_id = ${auth.keyId})`;

/** The condition under which a caller may change a task. */
export const writable = (auth: Auth): SQL =>
  auth.box ? holds(auth) : auth.role === "admin" ? sql`true` : eq(trainingTask.userId, auth.userId);
