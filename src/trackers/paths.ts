/** What Trackio's client calls below `/api/`, beside the routes of the ledger's own API. */
export const trackioCalls = [
  "bulk_log",
  "bulk_log_system",
  "bulk_alert",
  "bulk_upload_media",
  "upload",
  "get_all_projects",
  "get_runs_for_project",
  "get_metrics_for_run",
  "get_metric_values",
  "get_logs",
  "get_system_metrics_for_run",
  "get_system_logs",
  "get_alerts",
  "get_run_summary",
  "get_project_summary",
] as const;

/** What SwanLab's client calls: it takes the host alone of its address, and adds `/api`. */
const swanlab = /^\/api\/(login|project|projects|house|experiment|resources)(\/|$)/;

const trackio = new Set<string>(["/version", ...trackioCalls.map((name) => `/api/${name}`)]);

/**
 * Whether a path belongs to another tracker's protocol. Those protocols have their own forms of errors and
 * are described by their makers, so that openapi.json leaves them out.
 */
export const isTrackerPath = (path: string): boolean =>
  /^\/(mlflow|swanlab|wandb)(\/|$)/.test(path) || trackio.has(path) || swanlab.test(path);
