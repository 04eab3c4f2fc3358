import { type SQL, sql } from "drizzle-orm";
import type { Config } from "../../env.ts";
import type { Db } from "../db/client.ts";
import { now } from "../db/time.ts";
import { type ApiError, refuse } from "../http/problem.ts";

type Setting = Extract<keyof Config, `MAX_${string}_PER_USER`>;
type Bound = {
  setting: Setting;
  /** What is counted, as a sentence names it. */
  what: string;
  /** What makes room. */
  remedy: string;
  /** How much `user.id` has of it, as a scalar; what has a column of user_use is kept there. */
  used: SQL;
};

const kept = (column: SQL) =>
  sql`coalesce((select ${column} from user_use where user_use.user_id = user.id), 0)`;
const own = (from: SQL) => sql`(select count(*) from ${from})`;

const purged = "What is deleted counts until the trash is purged, TRASH_DAYS later";

/** What one user may have, by name: each is looked at in the statement that makes more of it. */
export const bounds = {
  tasks: {
    setting: "MAX_TASKS_PER_USER",
    what: "runs",
    remedy: `Delete runs. ${purged}`,
    used: kept(sql`tasks`),
  },
  database_bytes: {
    setting: "MAX_DATABASE_BYTES_PER_USER",
    what: "bytes of log points, settings and notes",
    remedy: `Delete runs. ${purged}`,
    used: kept(sql`bytes`),
  },
  files: {
    setting: "MAX_FILES_PER_USER",
    what: "files",
    remedy: `Delete files or runs. ${purged}`,
    used: kept(sql`files`),
  },
  file_bytes: {
    setting: "MAX_FILE_BYTES_PER_USER",
    what: "bytes of files",
    remedy: `Delete files or runs. ${purged}`,
    used: kept(sql`file_bytes + upload_bytes`),
  },
  uploads: {
    setting: "MAX_OPEN_UPLOADS_PER_USER",
    what: "unfinished uploads",
    remedy: "Complete those that are open. One that was given up counts for an hour more",
    used: kept(sql`uploads`),
  },
  keys: {
    setting: "MAX_KEYS_PER_USER",
    what: "keys",
    remedy: "Revoke keys and boxes that are no longer used",
    used: own(
      sql`api_key k where k.user_id = user.id and k.revoked_at is null and (k.expires_at is null or k.expires_at > ${now})`,
    ),
  },
  webhooks: {
    setting: "MAX_WEBHOOKS_PER_USER",
    what: "webhooks",
    remedy: "Delete one",
    used: own(sql`webhook w where w.user_id = user.id and w.deleted_at is null`),
  },
  mirrors: {
    setting: "MAX_MIRRORS_PER_USER",
    what: "mirrors",
    remedy: "Delete one",
    used: own(sql`mirror m where m.user_id = user.id and m.deleted_at is null`),
  },
  views: {
    setting: "MAX_VIEWS_PER_USER",
    what: "views",
    remedy: "Delete one",
    used: own(sql`saved_view v where v.user_id = user.id`),
  },
  dialects: {
    setting: "MAX_DIALECTS_PER_USER",
    what: "dialects",
    remedy: "Delete one",
    used: own(sql`dialect d where d.user_id = user.id`),
  },
  rules: {
    setting: "MAX_RULES_PER_USER",
    what: "retention rules",
    remedy: "Delete one",
    used: own(sql`keep_rule r where r.user_id = user.id`),
  },
  models: {
    setting: "MAX_MODELS_PER_USER",
    what: "models",
    remedy: "Add versions to an existing model",
    used: own(sql`model m where m.user_id = user.id`),
  },
  enrolments: {
    setting: "MAX_ENROLMENTS_PER_USER",
    what: "enrolment tokens",
    remedy: "Use those that were made, or wait until they expire",
    used: own(
      sql`box_enrolment e where e.user_id = user.id and e.expires_at > ${now} and e.used_at is null`,
    ),
  },
} satisfies Record<string, Bound>;

export type BoundName = keyof typeof bounds;
export const boundNames = Object.keys(bounds) as [BoundName, ...BoundName[]];

/** How much more of each is about to be made. */
export type More = Partial<Record<BoundName, number>>;

/** From this share of a bound on, answers warn. */
export const WARN_FROM = 0.8;

/** The columns of user_use that `More` may name. */
const columns = {
  tasks: sql`u.tasks`,
  database_bytes: sql`u.bytes`,
  files: sql`u.files`,
  file_bytes: sql`u.file_bytes + u.upload_bytes`,
  uploads: sql`u.uploads`,
} satisfies Partial<Record<BoundName, SQL>>;
type KeptMore = Partial<Record<keyof typeof columns, number>>;

const limited = (config: Config, more: More) =>
  Object.entries(more).flatMap(([name, count]) => {
    const most = config[bounds[name as BoundName].setting];
    return most > 0 ? [{ name: name as BoundName, count, most }] : [];
  });

/** A condition: so much more of what user_use counts is within a user's bounds. Reads one row. */
export function roomFor(config: Config, userId: number | SQL, more: KeptMore): SQL {
  const beyond = limited(config, more).map(
    ({ name, count, most }) => sql`${columns[name as keyof typeof columns]} + ${count} > ${most}`,
  );
  return beyond.length === 0
    ? sql`true`
    : sql`not exists (select 1 from user_use u where u.user_id = ${userId} and (${sql.join(beyond, sql` or `)}))`;
}

/** A condition: the user may make one more of what is counted at each look. */
export function roomToMake(
  config: Config,
  userId: number | SQL,
  name: Exclude<BoundName, keyof typeof columns>,
): SQL {
  const { setting, used } = bounds[name];
  const most = config[setting];
  return most > 0 ? sql`(select ${used} from user where user.id = ${userId}) < ${most}` : sql`true`;
}

export type Use = { bound: BoundName; used: number; most: number | null };

/** What users have of each bound; `where` chooses them by the columns of `user`. */
export async function readUse(db: Db, config: Config, where: SQL, limit: number) {
  const used = sql.join(
    boundNames.map((name) => sql`${bounds[name].used}`),
    sql`, `,
  );
  const rows = await db.all<{ id: number; name: string; used: string }>(sql`
    select user.id as id, user.name as name, json_array(${used}) as used
    from user where ${where} order by user.id limit ${limit}`);
  return rows.map((row) => {
    const values: number[] = JSON.parse(row.used);
    return {
      user_id: row.id,
      user: row.name,
      items: boundNames.map((bound, n): Use => {
        const most = config[bounds[bound].setting];
        return { bound, used: Math.max(0, values[n] ?? 0), most: most > 0 ? most : null };
      }),
    };
  });
}

const whole = (n: number) => Math.max(0, n).toLocaleString("en-US");

/** The refusal of what would go beyond a bound. */
export function overLimit(
  name: BoundName,
  used: number,
  most: number,
  { status = 403, more = {} }: { status?: 403 | 413; more?: Record<string, unknown> } = {},
): ApiError {
  const { setting, what, remedy } = bounds[name];
  return refuse(
    "over-limit",
    { used: whole(used), most: whole(most), what, remedy, setting },
    { status, extra: { ...more, bound: name, used, most } },
  );
}

/** Why there was no room for so much more: the refusal, or null where there is room. */
export async function explainRoom(
  db: Db,
  config: Config,
  userId: number | SQL,
  more: More,
): Promise<ApiError | null> {
  const [row] = await readUse(db, config, sql`user.id = ${userId}`, 1);
  for (const { name, count, most } of limited(config, more)) {
    const used = row?.items.find(({ bound }) => bound === name)?.used ?? 0;
    if (used + count > most) return overLimit(name, used, most);
  }
  return null;
}

/** The refusal where roomToMake() did not hold. */
export const noRoom = async (db: Db, config: Config, userId: number | SQL, name: BoundName) =>
  (await explainRoom(db, config, userId, { [name]: 1 })) ?? refuse("conflict", { case: "room" });

/** A word ahead of a bound, from WARN_FROM of it on; null before. */
export function nearLimit(config: Config, name: BoundName, used: number | null) {
  const { setting, what } = bounds[name];
  const most = config[setting];
  if (most === 0 || used === null || used < most * WARN_FROM) return null;
  return {
    code: "near-limit",
    message: `This user has ${whole(used)} of at most ${whole(most)} ${what} (${setting}); beyond that the ledger takes no more. The page Use shows all bounds.`,
  };
}
