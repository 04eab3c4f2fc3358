import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { Scope } from "../../shared/scopes.ts";
import type { Auth, Caller } from "../http/caller.ts";
import type { App } from "../http/context.ts";
import { refuse } from "../http/problem.ts";
import { authenticate, type Purpose } from "./keys.ts";
import { limitCaller, limitFailures } from "./limits.ts";
import { prolong, refuseCrossSite, sessionCookie } from "./session.ts";

const WEEK_MS = 7 * 86_400_000;

const challenge = { headers: { "WWW-Authenticate": 'Bearer realm="lora-ledger"' } };

/** The caller by the key, or the page's session, that the request brings. Throws ApiError 401. */
async function authenticateRequest(c: Context<App>) {
  const { db, config, later } = c.var;
  const header = c.req.header("Authorization");
  const [, token] = header?.match(/^Bearer +(\S+)$/i) ?? [];
  const cookie = header === undefined ? sessionCookie(c) : undefined;
  if (!token && !cookie) throw refuse("no-key", {}, challenge);
  if (!token) refuseCrossSite(c);
  return token
    ? authenticate(db, config, token, later)
    : authenticate(db, config, cookie ?? "", later, "session");
}

/** Notes who calls, by what authenticates the request. Throws ApiError 401, and 429 beyond the limits. */
async function admit(c: Context<App>, authenticated: () => Promise<Caller>) {
  const caller = await limitFailures(c, authenticated);
  await limitCaller(c, caller);
  const auth = { ...caller, address: c.var.address };
  c.set("auth", auth);
  return auth;
}

/**
 * A key that a client handed down to its trainer, for what a tracker's client writes of the same run: the
 * run's number follows the key, as in `KEY.run42`.
 */
const handedDown = /^(.+)\.run([1-9]\d{0,14})$/;

/**
 * Requires a key that `read` finds where a tracker's client brings it. A run that was handed down with it
 * becomes `joins`. `purpose` is that of a token which the client got for its key.
 */
export const requireKeyFrom = (
  read: (c: Context<App>) => string | undefined,
  purpose: Purpose = "api",
) =>
  createMiddleware<App>(async (c, next) => {
    const token = read(c)?.trim();
    const [, key = token, run] = handedDown.exec(token ?? "") ?? [];
    await admit(c, () => {
      if (!key) throw refuse("no-key", {}, challenge);
      return authenticate(c.var.db, c.var.config, key, c.var.later, purpose);
    });
    if (run !== undefined) c.set("joins", Number(run));
    await next();
  });

/** Requires a key, or a page's session, for all routes after it. */
export const requireKey = createMiddleware<App>(async (c, next) => {
  const auth = await admit(c, () => authenticateRequest(c));
  await next();
  if (auth.session) await prolong(c, auth);
  else if (auth.expiresAt && auth.expiresAt.getTime() - Date.now() < WEEK_MS)
    c.header("X-Key-Expires", auth.expiresAt.toISOString());
});

/** Throws ApiError 403 unless the caller holds all of these scopes; `version` is the version that requires them. */
export function requireScopes(
  auth: Auth,
  needed: readonly Scope[],
  version?: { model: string; version: number },
) {
  const lacking = needed.filter((scope) => !auth.scopes.has(scope));
  if (!lacking.length) return;
  const many = lacking.length > 1;
  const params = { scopes: lacking.join(" and "), role: auth.role };
  throw version
    ? refuse("not-allowed", {
        case: many ? "unapproved-many" : "unapproved",
        ...params,
        ...version,
      })
    : refuse("not-allowed", { case: many ? "scopes" : "scope", ...params });
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
    if (auth.box && !(box && auth.scopes.has("box"))) throw refuse("not-allowed", { case: "box" });
    if (!auth.box && scope !== null) requireScopes(auth, [scope, ...also]);
    await next();
  });
