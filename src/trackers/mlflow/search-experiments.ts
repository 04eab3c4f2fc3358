/* Search of experiments, of which there are as many as groups. */
import { and, type SQL, sql } from "drizzle-orm";
import type { Db } from "../../platform/db/client.ts";
import { experiment } from "../../platform/db/schema.ts";
import { invalid } from "./body.ts";
import { behind, compareNumber, compareText, orderBy, orderColumns, type Term } from "./compare.ts";
import { experimentOf } from "./experiments.ts";
import { type Clause, listed, parseFilter, parseOrder } from "./filter.ts";
import { toMs } from "./record.ts";
import type { viewTypes } from "./search.ts";
import { listName, placeIn, tokenOf } from "./token.ts";

/** Experiments of one answer, whatever is asked for: a token goes on. */
const MOST_EXPERIMENTS = 5000;

const known: Record<string, SQL> = {
  name: sql`experiment.name`,
  experiment_id: sql`cast(experiment.id as text)`,
  creation_time: toMs(sql`experiment.created_at`),
  last_update_time: toMs(sql`experiment.updated_at`),
};
const numbers = new Set(["creation_time", "last_update_time"]);

function attributeOf({ entity, key }: { entity: string | null; key: string }): SQL {
  const value = Object.hasOwn(known, key) ? known[key] : undefined;
  if (value && (entity === null || /^attr(?:ibutes?)?$/.test(entity))) return value;
  throw invalid(
    `Invalid attribute key '${key}' specified. Valid keys are '${listed(Object.keys(known))}'`,
  );
}

function conditionOf(clause: Clause): SQL {
  if (clause.entity === "tag" || clause.entity === "tags") {
    const value = /["\\]/.test(clause.key)
      ? sql`null`
      : sql`experiment.tags ->> ${`$."${clause.key}"`}`;
    return compareText(value, clause, "tag", ["IS NULL", "IS NOT NULL"]);
  }
  const value = attributeOf(clause);
  return numbers.has(clause.key)
    ? compareNumber(value, clause, `attribute ${clause.key}`)
    : compareText(value, clause, "attribute", ["IN", "NOT IN"]);
}

const views = {
  ACTIVE_ONLY: sql`experiment.deleted_at is null`,
  DELETED_ONLY: sql`experiment.deleted_at is not null`,
  ALL: sql`true`,
};

/** A page of experiments: by default the newest first. Throws MlflowError. */
export async function searchExperiments(
  db: Db,
  asked: {
    filter: string;
    order: string[];
    view: (typeof viewTypes)[number];
    limit: number;
    token: string | undefined;
  },
) {
  const { limit: most, token, ...rest } = asked;
  const limit = Math.min(most, MOST_EXPERIMENTS);
  const list = await listName("experiments", rest);
  const place = placeIn(list, token);
  const orderings = parseOrder(asked.order);
  const terms: Term[] = [
    ...orderings.map((one) => ({
      value: one.key === "experiment_id" ? sql`experiment.id` : attributeOf(one),
      descending: one.descending,
    })),
    ...(orderings.length ? [] : [{ value: known.creation_time ?? sql`null`, descending: true }]),
    { value: sql`experiment.id`, descending: orderings.length === 0 },
  ];
  const columns = orderColumns(terms).map((one, n) => sql`${one} as ${sql.identifier(`o${n}`)}`);
  const where = and(views[asked.view], ...parseFilter(asked.filter).map(conditionOf));
  const found = await db.all<Record<string, string | number | null>>(sql`
    select * from (
      select experiment.*, ${sql.join(columns, sql`, `)} from ${experiment} where ${where})
    ${place ? sql`where ${behind(terms, place)}` : sql``} order by ${orderBy(terms)} limit ${limit + 1}`);
  const page = found.slice(0, limit);
  const last = page.at(-1);
  return {
    experiments: page.map((row) =>
      experimentOf({
        id: Number(row.id),
        name: String(row.name),
        userId: null,
        tags: JSON.parse(String(row.tags)),
        createdAt: String(row.created_at),
        updatedAt: String(row.updated_at),
        deletedAt: row.deleted_at === null ? null : String(row.deleted_at),
      }),
    ),
    token:
      last && found.length > limit
        ? tokenOf(
            list,
            columns.map((_, n) => last[`o${n}`] ?? null),
          )
        : null,
  };
}
