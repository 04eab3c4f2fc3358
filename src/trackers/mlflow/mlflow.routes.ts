import { Hono } from "hono";
import type { App } from "../../platform/http/context.ts";
import { MlflowError, mlflowProblem } from "./form.ts";
import { requireMlflowKey } from "./key.ts";

/** MLflow's protocol, at `$LEDGER_URL/mlflow`. docs/trackers.md has what of it is answered. */
export const mlflow = new Hono<App>()
  .onError(mlflowProblem)
  .get("/health", (c) => c.text("OK"))
  .use("/*", requireMlflowKey)
  // Tracking is mounted here, before what is not known; app.ts mounts artifacts and the registry.
  .all("/*", (c) => {
    throw new MlflowError(
      "ENDPOINT_NOT_FOUND",
      `The ledger has no ${c.req.method} ${new URL(c.req.url).pathname}.`,
    );
  });
