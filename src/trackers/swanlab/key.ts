/*
 * What SwanLab's client holds instead of its key: a token for its calls, as the cookie `sid`, and one for the
 * address of each file, which it sends without a cookie. Both name the key, and end with it.
 */
import type { Context } from "hono";
import { getCookie } from "hono/cookie";
import { signKey, verifyToken } from "../../platform/auth/keys.ts";
import { requireKeyFrom } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { refuse } from "../../platform/http/problem.ts";

/** The client asks for no new token while it trains. */
const TOKEN_DAYS = 60;
const FILE_SEC = 3600;

/** The key that a login brings. */
const keyOf = (c: Context<App>) => c.req.header("Authorization")?.replace(/^Bearer +/i, "");

export const withKey = requireKeyFrom(keyOf);
export const withToken = requireKeyFrom((c) => getCookie(c, "sid"), "swanlab");
export const withFileToken = requireKeyFrom((c) => c.req.param("token"), "swanlab-file");

/** The token for a key that has just been checked, and when it ends; a run handed down with the key goes along. */
export async function makeToken(c: Context<App>): Promise<{ sid: string; expiresAt: Date }> {
  const { auth, config, joins } = c.var;
  const key = (keyOf(c) ?? "").trim().replace(/\.run\d+$/, "");
  const { jti } = await verifyToken(key, config, "api");
  const end = new Date(Date.now() + TOKEN_DAYS * 86_400_000);
  const expiresAt = auth.expiresAt && auth.expiresAt < end ? auth.expiresAt : end;
  const sid = await signKey(config, { jti, userId: auth.userId, scopes: [], expiresAt }, "swanlab");
  return { sid: joins === undefined ? sid : `${sid}.run${joins}`, expiresAt };
}

const placeOf = (taskId: number, path: string) => `${taskId}:${encodeURIComponent(path)}`;

/** A token that stores one file of a run, for an hour. */
export async function makeFileToken(c: Context<App>, taskId: number, path: string) {
  const { config, auth } = c.var;
  const { jti } = await verifyToken(
    (getCookie(c, "sid") ?? "").replace(/\.run\d+$/, ""),
    config,
    "swanlab",
  );
  return signKey(
    config,
    {
      ...{ jti, userId: auth.userId, scopes: [placeOf(taskId, path)] },
      expiresAt: new Date(Date.now() + FILE_SEC * 1000),
    },
    "swanlab-file",
  );
}

/** Refuses a file's token at the address of another file. Throws ApiError 403. */
export async function checkFileToken(c: Context<App>, taskId: number, path: string) {
  const { scope } = await verifyToken(c.req.param("token") ?? "", c.var.config, "swanlab-file");
  if (scope !== placeOf(taskId, path)) throw refuse("signature-not-valid", {});
}
