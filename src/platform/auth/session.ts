import type { Context } from "hono";
import { deleteCookie, getCookie, setCookie } from "hono/cookie";
import type { Auth } from "../http/caller.ts";
import type { App } from "../http/context.ts";
import { refuse } from "../http/problem.ts";
import { signKey } from "./keys.ts";

const NAME = "session";
/** A page that is not used for so long is signed out; each use prolongs it, up to a week in all. */
const IDLE_MS = 12 * 3_600_000;
export const SESSION_DAYS = 7;
/** A token older than this is replaced with the answer to the request that brought it. */
const FRESH_MS = 3_600_000;

/** The session's token, out of a cookie that only this host can have set, over a secure way. */
export const sessionCookie = (c: Context<App>) => getCookie(c, NAME, "host");

export const forgetCookie = (c: Context<App>) =>
  deleteCookie(c, NAME, { prefix: "host", path: "/", secure: true });

/** Signs a session's token and hands it to the browser. */
export async function giveCookie(
  c: Context<App>,
  holder: { id: string; userId: number; scopes: readonly string[]; endsAt: string },
) {
  const ends = Math.min(Date.now() + IDLE_MS, Date.parse(holder.endsAt));
  const { id: jti, userId, scopes } = holder;
  const expiresAt = new Date(ends);
  const token = await signKey(c.var.config, { jti, userId, scopes, expiresAt }, "session");
  setCookie(c, NAME, token, {
    prefix: "host",
    path: "/",
    secure: true,
    httpOnly: true,
    sameSite: "Strict",
    maxAge: Math.max(0, Math.round((ends - Date.now()) / 1000)),
  });
}

/** Gives a session in use a newer token, without asking the database. */
export async function prolong(c: Context<App>, { session, userId, scopes }: Auth) {
  if (!session || Date.now() - session.issuedAt * 1000 < FRESH_MS) return;
  await giveCookie(c, { id: session.id, userId, scopes: [...scopes], endsAt: session.endsAt });
}

/**
 * Refuses what another site's page sends with this site's cookie. SameSite=Strict keeps browsers from
 * it; this holds for what changes something also where a browser, or a sibling host, does not.
 */
export function refuseCrossSite(c: Context<App>) {
  if (c.req.method === "GET" || c.req.method === "HEAD") return;
  const site = c.req.header("Sec-Fetch-Site");
  const origin = c.req.header("Origin");
  const own = [new URL(c.req.url).origin, c.var.config.PUBLIC_URL?.replace(/\/+$/, "")];
  // A request that names neither header is no page's of this site.
  if (site ? site === "same-origin" : origin !== undefined && own.includes(origin)) return;
  throw refuse("cross-site", {});
}
