import { type Context, Hono } from "hono";
import { requireKeyFrom } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { limitBody } from "../../platform/http/validate.ts";
import { experiments } from "./experiments.routes.ts";
import { MlflowError, mlflowProblem } from "./form.ts";
import { logging } from "./log.routes.ts";
import { metrics } from "./metrics.routes.ts";
import { runs } from "./runs.routes.ts";

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

/** The version whose protocol is answered; clients compare it with their own. */
const MLFLOW_VERSION = "3.17.2";

/** How artifacts travel. */
const uploads = { multipart_uploads_enabled: false, multipart_downloads_enabled: false };

/** Bytes of a tracking request: a full batch has about 1 MB. */
const MOST_BODY = 4_000_000;

/** Tracking: experiments, runs and metrics. */
const tracking = new Hono<App>()
  .use("/experiments/*", limitBody(MOST_BODY))
  .use("/runs/*", limitBody(MOST_BODY))
  .use("/metrics/*", limitBody(MOST_BODY))
  .route("/", experiments)
  .route("/", runs)
  .route("/", logging)
  .route("/", metrics);

/** MLflow's protocol, at `$LEDGER_URL/mlflow`. docs/trackers.md has what of it is answered. */
export const mlflow = new Hono<App>()
  .onError(mlflowProblem)
  .get("/health", (c) => c.text("OK"))
  .get("/version", (c) => c.text(MLFLOW_VERSION))
  .use("/*", requireKeyFrom(keyOf))
  .get("/api/3.0/mlflow/server-info", (c) =>
    c.json({
      store_type: "SqlStore",
      workspaces_enabled: false,
      trace_archival_enabled: false,
      ...uploads,
    }),
  )
  .route("/api/2.0/mlflow", tracking)
  .route("/ajax-api/2.0/mlflow", tracking)
  // Artifacts and the registry are mounted here, before what is not known.
  .all("/*", (c) => {
    throw new MlflowError(
      "ENDPOINT_NOT_FOUND",
      `The ledger has no ${c.req.method} ${new URL(c.req.url).pathname}.`,
    );
  });
