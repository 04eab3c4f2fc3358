import { type Context, Hono } from "hono";
import { requireKeyFrom } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { MlflowError, mlflowProblem } from "./form.ts";

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

/** MLflow's protocol, at `$LEDGER_URL/mlflow`. docs/trackers.md has what of it is answered. */
export const mlflow = new Hono<App>()
  .onError(mlflowProblem)
  .get("/health", (c) => c.text("OK"))
  .use("/*", requireKeyFrom(keyOf))
  // Tracking, artifacts and the registry are mounted here, before what is not known.
  .all("/*", (c) => {
    throw new MlflowError(
      "ENDPOINT_NOT_FOUND",
      `The ledger has no ${c.req.method} ${new URL(c.req.url).pathname}.`,
    );
  });
