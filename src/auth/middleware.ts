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

/**
 * Lets keys pass that hold `scope` within their user's role; `box: true` also lets rented machines'
 * keys pass, whose reach is then limited in each statement by readable() and writable().
 */
export const allow = (scope: Scope | null, { box = false } = {}) =>
  createMiddleware<App>(async (c, next) => {
    const { auth } = c.var;
    if (auth.box ? !(box && auth.scopes.has("box")) : scope !== null && !auth.scopes.has(scope))
      throw new ApiError(
        403,
        "not-allowed",
        auth.box
          ? "A box key cannot do this: it registers runs, reports on them and uploads their weights."
          : `This key cannot do this: it needs the scope ${scope}, within the rights of a ${auth.role}.`,
      );
    await next();
  });

/** The condition under which a caller may see a task; belongs in the same `where` as its id. */
export const readable = (auth: Auth): SQL =>
  auth.box ? eq(trainingTask.keyId, auth.keyId) : sql`true`;

/** The condition under which a caller may report on a task: what it may change, or has claimed. */
export const reportable = (auth: Auth): SQL =>
  sql`(${writable(auth)} or ${trainingTask.keyId} = ${auth.keyId})`;

/** Whether the caller's key once ran an attempt of the task: it is told who took over, no more. */
export const reportedOnce = (auth: Auth): SQL =>
  sql`exists (select 1 from task_attempt once where once.task_id = training_task.id and once.key_id = ${auth.keyId})`;

/** The condition under which a caller may change a task. */
export const writable = (auth: Auth): SQL =>
  auth.box
    ? eq(trainingTask.keyId, auth.keyId)
    : auth.role === "admin"
      ? sql`true`
      : eq(trainingTask.userId, auth.userId);
