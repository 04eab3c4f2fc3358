import type { Context } from "hono";
import { requireKeyFrom } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";

/** The key of an MLflow client: a bearer token, or the password of Basic, whatever the user's name is. */
function keyOf(c: Context<App>): string | undefined {
  const header = c.req.header("Authorization") ?? "";
  const [, bearer] = /^Bearer +(\S+)$/i.exec(header) ?? [];
  if (bearer) return bearer;
  const [, basic] = /^Basic +(\S+)$/i.exec(header) ?? [];
  if (!basic) return;
  try {
    return atob(basic).split(":").slice(1).join(":");
  } catch {
    return;
  }
}

/** Requires the key of an MLflow client. */
export const requireMlflowKey = requireKeyFrom(keyOf);
