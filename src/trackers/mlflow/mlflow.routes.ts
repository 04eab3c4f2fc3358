import { Hono } from "hono";
import type { App } from "../../platform/http/context.ts";
import { limitBody } from "../../platform/http/validate.ts";
import { experiments } from "./experiments.routes.ts";
import { MlflowError, mlflowProblem } from "./form.ts";
import { requireMlflowKey } from "./key.ts";
import { logging } from "./log.routes.ts";
import { metrics } from "./metrics.routes.ts";
import { runs } from "./runs.routes.ts";

/** The version whose protocol is answered; clients compare it with their own. */
const MLFLOW_VERSION = "3.17.2";

/** How artifacts travel. */
const uploads = { multipart_uploads_enabled: true, multipart_downloads_enabled: true };

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
  .use("/*", requireMlflowKey)
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
  // What is not known; app.ts mounts artifacts and the registry.
  .all("/*", (c) => {
    throw new MlflowError(
      "ENDPOINT_NOT_FOUND",
      `The ledger has no ${c.req.method} ${new URL(c.req.url).pathname}.`,
    );
  });
