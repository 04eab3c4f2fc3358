import * as z from "zod";

/** A number in a variable, which wrangler hands over as text. */
const number = (fallback: number, min: number, max: number) =>
  z.coerce.number().min(min).max(max).default(fallback);
/** How much of something one user may have; 0: as much as there is room for. */
const most = (fallback: number) => number(fallback, 0, Number.MAX_SAFE_INTEGER);
const days = (fallback: number) => number(fallback, 0, 36_500);
const optional = z
  .string()
  .trim()
  .transform((v) => (v === "" ? undefined : v))
  .optional();
const secret = z.string().min(32, "must be at least 32 bytes long");

const variables = z.object({
  DATABASE_URL: z.url({
    protocol: /^(libsql|https?)$/,
    error: "must be a libsql:// or http(s):// URL",
  }),
  DATABASE_AUTH_TOKEN: optional,
  JWT_SECRET: secret,
  JWT_SECRET_PREVIOUS: secret.optional(),
  /** Where clients reach the service, when it is not the address of the request itself. */
  PUBLIC_URL: optional,
  R2_ACCOUNT_ID: optional,
  R2_ACCESS_KEY_ID: optional,
  R2_SECRET_ACCESS_KEY: optional,
  R2_BUCKET: optional,
  /** Another S3 endpoint than R2's own. */
  R2_ENDPOINT: optional,
  HEARTBEAT_INTERVAL_SEC: number(30, 1, 45),
  /** A running task is lost when it has sent no heartbeat for so long; the look is once a minute. */
  LOST_AFTER_SEC: number(55, 1, 86_400),
  /** A run that Trackio's client alone records, which tells no end, has ended after so many minutes of silence. */
  TRACKER_SILENCE_MIN: number(10, 0.01, 10_080),
  /** A run that MLflow's or SwanLab's client alone records is lost after so many minutes of silence. */
  TRACKER_LOST_MIN: number(60, 0.01, 10_080),
  /** Names of metrics that one attempt may have; what it logs under further names is left out, and told. */
  MAX_METRICS: number(500, 1, 5000),
  /** Adds `Server-Timing` with round trips and rows to every answer. */
  COST_REPORTING: z.stringbool().default(false),
  /** Refuses keys and addresses over the limits that wrangler.toml sets. */
  RATE_LIMITS: z.stringbool().default(true),
  /** Hashes a whole upload in the Worker, which takes more CPU time than a free plan gives. */
  VERIFY_BY_STREAMING: z.stringbool().default(false),
  /** The currency of all prices, by its ISO 4217 code; prices come without one. */
  CURRENCY: optional.pipe(
    z
      .string()
      .regex(/^[A-Z]{3}$/, "must be a currency's code of three capital letters, such as EUR or CNY")
      .optional(),
  ),
  /** Lets people approve model versions that they submitted themselves: for one-person ledgers. */
  ALLOW_SELF_APPROVAL: z.stringbool().default(false),
  /** After how many hours an upload that was never completed is swept. */
  UPLOAD_TTL_HOURS: number(24, 0.001, 720),
  /** For how many days what is in the trash can be restored; then it is purged for good. */
  TRASH_DAYS: number(30, 0.001, 36_500),
  /** A heartbeat's mean loss over so many times the mean before it is told as `loss_diverged`. */
  LOSS_DIVERGED_MULTIPLE: number(5, 1.1, 1e6),
  /** A run whose box lives but makes no step for so many minutes is told as `stalled`. */
  STALLED_AFTER_MIN: number(30, 0.001, 10_080),
  /** A paid box that for so many minutes neither pulls a task nor makes a step is told as `box_idle`. */
  BOX_IDLE_AFTER_MIN: number(20, 0.001, 10_080),
  /** Lets webhooks point to this machine and private networks, for local use. */
  ALLOW_INSIDE_WEBHOOKS: z.stringbool().default(false),
  /** Seconds before a failed alert is tried again; each time twice as long, at most 15 minutes. */
  ALERT_RETRY_SEC: number(10, 0.1, 900),
  /** Tries before an alert is given up. 100 take about a day; wrangler.toml's max_retries goes with it. */
  ALERT_TRIES: number(100, 1, 1000),
  /** Messages that a webhook gets within an hour; what is beyond follows in one message. 0: all come alone. */
  ALERTS_PER_HOUR: number(30, 0, 100_000),
  /** Requests to other tracking servers a minute, of all mirrors together; each takes up to 1,000 values. */
  MIRROR_REQUESTS_A_MINUTE: number(10, 1, 10_000),
  // Bounds by user, each 0 for none; src/platform/auth/bounds.ts says what counts, docs/limits.md names them all.
  /** Runs, those in the trash included. */
  MAX_TASKS_PER_USER: most(200_000),
  /** Bytes in the database: log points, settings files, notes, facts about data. */
  MAX_DATABASE_BYTES_PER_USER: most(4_000_000_000),
  /** Files of runs, those in the trash and uploads that were given up included. */
  MAX_FILES_PER_USER: most(500_000),
  /** Bytes of files, those in the trash and what is being uploaded included. */
  MAX_FILE_BYTES_PER_USER: most(1_000_000_000_000),
  /** Uploads that were announced, and neither completed nor swept. */
  MAX_OPEN_UPLOADS_PER_USER: most(2_000),
  /** Keys that live, those of boxes among them. */
  MAX_KEYS_PER_USER: most(500),
  /** Each event is held against all webhooks there are. */
  MAX_WEBHOOKS_PER_USER: most(20),
  /** Each is looked at every minute. */
  MAX_MIRRORS_PER_USER: most(10),
  MAX_VIEWS_PER_USER: most(100),
  MAX_DIALECTS_PER_USER: most(20),
  MAX_RULES_PER_USER: most(100),
  MAX_MODELS_PER_USER: most(1_000),
  /** Tokens for boxes that are still good. */
  MAX_ENROLMENTS_PER_USER: most(100),
  /** For how many days events and what was sent of them stay in the log. 0: for good. */
  EVENTS_DAYS: days(90),
  /** After how many days an Idempotency-Key is free again. 0: never. */
  IDEMPOTENCY_DAYS: days(30),
  /** For how many days facts about data that no run names any more are kept. 0: for good. */
  DATASETS_DAYS: days(30),
  /** After how many days audit entries move into the bucket, as files that stay. 0: never. */
  AUDIT_DAYS: days(730),
});

const settings = variables.transform((config) => ({
  ...config,
  // A lost heartbeat has to be noticed and repeated in time.
  HEARTBEAT_INTERVAL_SEC: Math.min(config.HEARTBEAT_INTERVAL_SEC, config.LOST_AFTER_SEC * 0.75),
}));

export type Config = z.infer<typeof settings>;

/** What wrangler.toml binds. */
export type Bindings = {
  BUCKET: R2Bucket;
  ASSETS: Fetcher;
  KEY_LIMIT: RateLimit;
  /** Without it only keys are limited. */
  USER_LIMIT?: RateLimit;
  FAILURE_LIMIT: RateLimit;
  /** Carries alerts. Without it the scheduled job delivers them alone. */
  ALERTS?: Queue<{ delivery: number }>;
} & Record<string, unknown>;

/** Some settings are missing or wrong; the message names them and never shows a value. */
export class ConfigError extends Error {}

const parsed = new WeakMap<object, Config>();

/** The configuration, parsed once an environment. Throws ConfigError naming what is wrong. */
export function readConfig(env: Record<string, unknown>): Config {
  const known = parsed.get(env);
  if (known) return known;
  const result = settings.safeParse(env);
  if (!result.success) {
    const faults = result.error.issues.map((issue) => {
      const name = String(issue.path[0]);
      return env[name] === undefined ? `${name} is not set` : `${name}: ${issue.message}`;
    });
    throw new ConfigError(
      `The service is not configured: ${faults.join("; ")}. Set secrets with \`wrangler secret put NAME\`.`,
    );
  }
  parsed.set(env, result.data);
  return result.data;
}
