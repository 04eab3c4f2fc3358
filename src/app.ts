import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { deliveries, events } from "./alerts/events.routes.ts";
import { webhooks } from "./alerts/webhooks.routes.ts";
import { readConfig } from "./env.ts";
import { downloads } from "./files/download.routes.ts";
import { rules } from "./files/retention.routes.ts";
import { signed } from "./files/signed.routes.ts";
import { storageTrash, trash } from "./files/trash.routes.ts";
import { announcements, uploads } from "./files/upload.routes.ts";
import { storage } from "./files/usage.routes.ts";
import { weights } from "./files/weights.routes.ts";
import { logs } from "./metrics/curves.routes.ts";
import { grid } from "./metrics/grid.routes.ts";
import { aliases } from "./models/aliases.routes.ts";
import { cards } from "./models/cards.routes.ts";
import { downloads as modelDownloads } from "./models/download.routes.ts";
import { comparison, datasetVersions, taskLineage } from "./models/lineage.routes.ts";
import { models } from "./models/models.routes.ts";
import { review, reviews } from "./models/review.routes.ts";
import { share, shares } from "./models/shares.routes.ts";
import { auditExports, auditLog } from "./platform/audit/audit.routes.ts";
import { keys, me, users } from "./platform/auth/accounts.routes.ts";
import { requireKey } from "./platform/auth/middleware.ts";
import { preferences } from "./platform/auth/preferences.routes.ts";
import { signIn } from "./platform/auth/sign-in.routes.ts";
import { openDb } from "./platform/db/client.ts";
import { noCost, serverTiming } from "./platform/db/cost.ts";
import { countUsage, sampleRequests } from "./platform/db/usage.ts";
import type { App } from "./platform/http/context.ts";
import { health } from "./platform/http/health.routes.ts";
import { HSTS, isLostPerson, isPage, pageHeaders } from "./platform/http/pages.ts";
import { problem, refuse } from "./platform/http/problem.ts";
import { pythonIndex } from "./platform/http/python-index.routes.ts";
import { cleanAddress, limitBody } from "./platform/http/validate.ts";
import { boxes } from "./queue/boxes.routes.ts";
import { exchange } from "./queue/exchange.routes.ts";
import { lanes } from "./queue/lanes.routes.ts";
import { queue } from "./queue/queue.routes.ts";
import { requeue } from "./queue/requeue.routes.ts";
import { sweeps } from "./queue/sweeps.routes.ts";
import { archive } from "./reports/archive.routes.ts";
import { board } from "./reports/board.routes.ts";
import { compare } from "./reports/compare.routes.ts";
import { curves } from "./reports/curves.routes.ts";
import { taskExport } from "./reports/export.routes.ts";
import { leaderboard } from "./reports/leaderboard.routes.ts";
import { stats } from "./reports/stats.routes.ts";
import { table } from "./reports/table.routes.ts";
import { myUse, usersUse } from "./reports/use.routes.ts";
import { views } from "./reports/views.routes.ts";
import { bestCheckpoints } from "./runs/best.routes.ts";
import { bulk } from "./runs/bulk.routes.ts";
import { datasets } from "./runs/datasets.routes.ts";
import { dialects } from "./runs/dialects.routes.ts";
import { lifecycle } from "./runs/lifecycle.routes.ts";
import { previews } from "./runs/preview.routes.ts";
import { repeats } from "./runs/repeat.routes.ts";
import { tasks } from "./runs/runs.routes.ts";
import { pointAtFinal } from "./runs/states.ts";
import { mirrorLog } from "./trackers/mirror/mirror-log.routes.ts";
import { mirrors } from "./trackers/mirror/mirrors.routes.ts";
import { artifactLists, artifacts } from "./trackers/mlflow/artifacts.routes.ts";
import { loggedModels, runOutputs } from "./trackers/mlflow/logged-models.routes.ts";
import { mlflow } from "./trackers/mlflow/mlflow.routes.ts";
import { modelVersions } from "./trackers/mlflow/model-versions.routes.ts";
import { registeredModels } from "./trackers/mlflow/registered-models.routes.ts";
import { swanlab, swanlabFiles } from "./trackers/swanlab/swanlab.routes.ts";
import { trackioMedia } from "./trackers/trackio/media.routes.ts";
import { trackioReading } from "./trackers/trackio/reading.routes.ts";
import { trackio } from "./trackers/trackio/trackio.routes.ts";
import { wandb } from "./trackers/wandb/wandb.routes.ts";
import { version } from "./version.ts";

/**
 * The service. Everything below /api takes a key; what stands outside needs none: health, signed
 * URLs, and the static files that the platform serves before the Worker is asked.
 */
export const app = new Hono<App>()
  .use(async (c, next) => {
    const config = readConfig(c.env);
    const cost = noCost();
    const times = sampleRequests(config.COST_REPORTING);
    c.set("config", config);
    c.set("cost", cost);
    c.set("db", openDb(config, times > 0 ? cost : undefined));
    c.set("address", c.req.header("CF-Connecting-IP") ?? null);
    c.set("later", (work) => c.executionCtx.waitUntil(work));
    await next();
    countUsage(c.var.db, cost, times, c.var.later);
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Ledger-Version", version);
    if (new URL(c.req.url).protocol === "https:") c.header("Strict-Transport-Security", HSTS);
    if (config.COST_REPORTING) c.header("Server-Timing", serverTiming(cost));
  })
  .use(cleanAddress)
  .route("/healthz", health)
  .route("/", pythonIndex)
  .route("/signed", signed)
  .route("/share", share)
  .route("/session", signIn)
  .route("/api/boxes/exchange", exchange)
  // Other trackers' protocols: keys come in their own places, errors in their own forms.
  // Before the limit of bodies: a file streams through, and its route looks at its length.
  // What MLflow's client prints as a run's page; the pages read the fragment behind it.
  .get("/mlflow", (c) => c.redirect("/runs"))
  .get("/mlflow/", (c) => c.redirect("/runs"))
  .route("/mlflow/api/2.0/mlflow-artifacts", artifacts)
  .use("/mlflow/*", limitBody(100_000_000))
  .route("/mlflow/api/2.0/mlflow/artifacts", artifactLists)
  .route("/mlflow/api/2.0/mlflow/logged-models", loggedModels)
  .route("/mlflow/api/2.0/mlflow/runs/outputs", runOutputs)
  .route("/mlflow/api/2.0/mlflow/registered-models", registeredModels)
  .route("/mlflow/api/2.0/mlflow/model-versions", modelVersions)
  .route("/mlflow", mlflow)
  .route("/", trackio)
  .route("/api", trackioMedia)
  .route("/api", trackioReading)
  .route("/api", swanlab)
  .route("/swanlab", swanlabFiles)
  .route("/wandb", wandb)
  .use("/api/*", requireKey, limitBody(4_000_000))
  .route("/api/users", users)
  .route("/api/users/use", usersUse)
  .route("/api/me", me)
  .route("/api/me/use", myUse)
  .route("/api/me/preferences", preferences)
  .route("/api/keys", keys)
  // Before the tasks, whose ids it would otherwise be taken for.
  .route("/api/tasks", taskExport)
  .route("/api/tasks", compare)
  .route("/api/tasks", previews)
  .route("/api/audit", auditLog)
  .route("/api/audit/exports", auditExports)
  .route("/api/stats", stats)
  .route("/api/leaderboard", leaderboard)
  .route("/api/tasks", tasks)
  .route("/api/tasks", repeats)
  .route("/api/tasks", bulk)
  .route("/api/tasks", lifecycle)
  .route("/api/tasks", archive)
  .route("/api/tasks", logs)
  .route("/api/tasks", bestCheckpoints)
  .route("/api/tasks", grid)
  .route("/api/tasks", datasets)
  .route("/api/tasks", announcements(pointAtFinal))
  .route("/api/weights", weights)
  .route("/api/weights", uploads(pointAtFinal))
  .route("/api/weights", trash(pointAtFinal))
  .route("/api/weights", downloads)
  .route("/api/models", models)
  .route("/api/models", review)
  .route("/api/models", aliases)
  .route("/api/models", cards)
  .route("/api/models", shares)
  .route("/api/models", comparison)
  .route("/api/models", modelDownloads)
  .route("/api/tasks", taskLineage)
  .route("/api/datasets", datasetVersions)
  .route("/api/storage", storage)
  .route("/api/storage/rules", rules)
  .route("/api/storage/trash", storageTrash)
  .route("/api/reviews", reviews)
  .route("/api/events", events)
  .route("/api/webhooks", webhooks)
  .route("/api/deliveries", deliveries)
  .route("/api/mirrors", mirrors)
  .route("/api/mirrors", mirrorLog)
  .route("/api/table", table)
  .route("/api/curves", curves)
  .route("/api/views", views)
  .route("/api/dialects", dialects)
  .route("/api/tasks", requeue)
  .route("/api/queue", queue)
  .route("/api/queue", lanes)
  .route("/api/board", board)
  .route("/api/boxes", boxes)
  .route("/api/sweeps", sweeps);

const methods = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/** The methods that routes of this path take. */
const methodsOf = (path: string) =>
  methods.filter((method) =>
    app.router.match(method, path)[0].some(([[, route]]) => route.method === method),
  );

app.notFound(async (c) => {
  const allowed = methodsOf(c.req.path);
  const known = isPage(c.req.method, c.req.path);
  const lost =
    allowed.length === 0 && isLostPerson(c.req.method, c.req.path, c.req.header("Accept"));
  if (known || lost) {
    // The dashboard is one page that shows many addresses; the platform has it under `/` alone.
    const page = await c.env.ASSETS.fetch(new URL("/", c.req.url));
    return new Response(page.body, {
      status: known ? page.status : 404,
      headers: { ...pageHeaders, "Content-Type": "text/html; charset=utf-8" },
    });
  }
  if (allowed.length)
    return problem(
      refuse(
        "method-not-allowed",
        { path: c.req.path, allowed: allowed.join(", "), method: c.req.method },
        {
          headers: {
            Allow: allowed.includes("GET") ? ["HEAD", ...allowed].join(", ") : allowed.join(", "),
          },
        },
      ),
      c,
    );
  return problem(refuse("no-route", { method: c.req.method, path: c.req.path }), c);
});

app.onError((error, c) =>
  problem(
    error instanceof HTTPException
      ? error.status === 400
        ? refuse("malformed-json", { reason: error.message })
        : refuse("refused", { reason: error.message }, { status: error.status })
      : error,
    c,
  ),
);

export type AppType = typeof app;
