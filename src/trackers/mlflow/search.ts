/*
 * Search of runs. No index serves a group, since each would be billed with every run: runs are looked through
 * newest first, so many a call; those that match are ordered, and a token goes on behind the last.
 */
import { and, type SQL, sql } from "drizzle-orm";
import { readable } from "../../platform/auth/access.ts";
import { chain } from "../../platform/db/batch.ts";
import type { Db } from "../../platform/db/client.ts";
import type { Auth } from "../../platform/http/caller.ts";
import { invalid } from "./body.ts";
import {
  behind,
  compareMetric,
  compareNumber,
  compareText,
  orderBy,
  orderColumns,
  type Place,
  type Term,
} from "./compare.ts";
import { type Clause, listed, type Ordering, parseFilter, parseOrder } from "./filter.ts";
import { attributes, runBytes, runOf, selectRuns, settingColumn, withRecord } from "./record.ts";

/** Runs that one call looks through, and bytes of runs that it answers with. */
const MOST_SCANNED = 50_000;
const MOST_BYTES = 2_500_000;
/** Runs of one answer, whatever is asked for: a token goes on. */
const MOST_RUNS = 2000;

const entities = new Map<string, "metric" | "param" | "tag" | "attribute" | "dataset">([
  ...["metric", "metrics"].map((name) => [name, "metric"] as const),
  ...["param", "params", "parameter", "parameters"].map((name) => [name, "param"] as const),
  ...["tag", "tags"].map((name) => [name, "tag"] as const),
  ...["attribute", "attributes", "attr", "run"].map((name) => [name, "attribute"] as const),
  ...["dataset", "datasets"].map((name) => [name, "dataset"] as const),
]);

const numbers = new Set(["start_time", "end_time"]);
const aliases = new Map([
  ...["run name", "Run name", "Run Name"].map((name) => [name, "run_name"] as const),
  ...["created", "Created"].map((name) => [name, "start_time"] as const),
]);
const artifactUri = sql`'mlflow-artifacts:/' || ${attributes.experiment_id} || '/' || ${attributes.run_id} || '/artifacts'`;
const known: Record<string, SQL> = {
  run_id: attributes.run_id,
  run_name: attributes.run_name,
  status: attributes.status,
  start_time: attributes.start_time,
  end_time: sql`iif(${attributes.status} in ('RUNNING', 'SCHEDULED'), null, ${attributes.end_time})`,
  user_id: attributes.user_id,
  artifact_uri: artifactUri,
};

function entityOf({ entity }: { entity: string | null }) {
  if (entity === null) return "attribute";
  const kind = entities.get(entity);
  if (kind) return kind;
  throw invalid(
    `Invalid entity type '${entity}'. Valid values are ${listed(["metric", "parameter", "tag", "attribute", "dataset"])}`,
  );
}

function attributeOf(key: string): { name: string; value: SQL } {
  const name = aliases.get(key) ?? key;
  const value = Object.hasOwn(known, name) ? known[name] : undefined;
  if (value) return { name, value };
  throw invalid(
    `Invalid attribute key '${key}' specified. Valid keys are '${listed([...Object.keys(known), ...aliases.keys()])}'`,
  );
}

/** A JSON path to a key; null where no key of a document can be it. */
const pathTo = (key: string, before = "$"): string | null =>
  /["\\]/.test(key) ? null : `${before}."${key}"`;

const largest = Number.MAX_VALUE;

/** A metric's last value over all attempts: a number, the text NaN, or null. */
function metricValue(key: string): SQL {
  const path = pathTo(key);
  if (path === null) return sql`null`;
  const last = (n: number) => sql`a.summary ->> ${`${path}.last[${n}]`}`;
  return sql`(select case v when 'Infinity' then ${largest} when '-Infinity' then ${-largest} else v end
    from (select ${last(3)} as v from task_attempt a
      where a.task_id = training_task.id and ${last(0)} is not null
      order by ${last(0)} desc, a.attempt desc limit 1))`;
}

/** A leaf of a document as the text that params show; null of what is no leaf. */
const leafOf = (document: SQL, path: string | null): SQL =>
  path === null
    ? sql`null`
    : sql`case json_type(${document}, ${path}) when 'true' then 'true' when 'false' then 'false'
      when 'object' then null else cast(${document} ->> ${path} as text) end`;

function paramValue(key: string): SQL {
  const parts = [
    leafOf(sql`tracker_run.record`, pathTo(key, "$.params")),
    leafOf(sql`task_config.snapshot`, pathTo(key)),
  ];
  const dotted = key.split(".");
  const deep = dotted.reduce<string | null>(
    (path, part) => (path ? pathTo(part, path) : null),
    "$",
  );
  const isOwn = sql`coalesce(tracker_run.record ->> '$.settings', 0) = 0`;
  if (dotted.length > 1)
    parts.push(sql`iif(${isOwn}, ${leafOf(sql`task_config.snapshot`, deep)}, null)`);
  const column = settingColumn(key);
  if (column)
    parts.push(sql`iif(${isOwn}, cast(training_task.${sql.identifier(column)} as text), null)`);
  return sql`coalesce(${sql.join(parts, sql`, `)})`;
}

function tagValue(key: string): SQL {
  const path = pathTo(key);
  const parts = [
    ...(key === "mlflow.runName" ? [sql`training_task.task_name`] : []),
    ...(key === "mlflow.note.content" ? [sql`training_task.notes`] : []),
    ...(key === "mlflow.source.git.commit" ? [sql`training_task.git_commit`] : []),
    ...(path === null
      ? []
      : [
          sql`training_task.tags ->> ${path}`,
          sql`tracker_run.record ->> ${pathTo(key, "$.tags")}`,
        ]),
    ...(key === "mlflow.parentRunId"
      ? [
          sql`iif(training_task.parent_task_id is null, null, printf('%032d', training_task.parent_task_id))`,
        ]
      : []),
    sql`null`,
  ];
  return sql`coalesce(${sql.join(parts, sql`, `)}, null)`;
}

function datasetCondition(clause: Clause): SQL {
  const { key } = clause;
  const value =
    key === "name" || key === "digest"
      ? sql`i.value ->> ${`$.dataset.${key}`}`
      : key === "context"
        ? sql`(select g.value ->> '$.value' from json_each(i.value, '$.tags') g where g.value ->> '$.key' = 'mlflow.data.context')`
        : null;
  if (value === null)
    throw invalid(
      `Invalid dataset key '${key}' specified. Valid keys are '${listed(["name", "digest", "context"])}'`,
    );
  const condition = compareText(value, clause, "dataset", ["IN", "NOT IN"]);
  return sql`exists (select 1 from json_each(tracker_run.record, '$.inputs') i where ${condition})`;
}

/** One comparison of a filter as SQL over withRecord. Throws MlflowError. */
function conditionOf(clause: Clause): SQL {
  switch (entityOf(clause)) {
    case "metric":
      return compareMetric(metricValue(clause.key), clause);
    case "param":
      return compareText(paramValue(clause.key), clause, "parameter", ["IS NULL", "IS NOT NULL"]);
    case "tag":
      return compareText(tagValue(clause.key), clause, "tag", ["IS NULL", "IS NOT NULL"]);
    case "dataset":
      return datasetCondition(clause);
    default: {
      const { name, value } = attributeOf(clause.key);
      if (numbers.has(name)) return compareNumber(value, clause, `attribute ${clause.key}`);
      return compareText(value, clause, "attribute", ["IN", "NOT IN"]);
    }
  }
}

function termOf(ordering: Ordering): Term {
  const { key, descending } = ordering;
  switch (entityOf(ordering)) {
    case "metric":
      return { value: metricValue(key), descending, metric: true };
    case "param":
      return { value: sql`substr(${paramValue(key)}, 1, 100)`, descending };
    case "tag":
      return { value: sql`substr(${tagValue(key)}, 1, 100)`, descending };
    case "dataset":
      throw invalid("Invalid identifier type 'dataset'");
    default:
      return { value: attributeOf(key).value, descending };
  }
}

/** The order of a search, ended by MLflow's default: no two runs have the same place. Throws MlflowError. */
function orderOf(list: string[]): Term[] {
  const orderings = parseOrder(list);
  const names = orderings.map((one) => {
    const entity = entityOf(one);
    return `${entity}.${entity === "attribute" ? attributeOf(one.key).name : one.key}`;
  });
  if (new Set(names).size < names.length)
    throw invalid(
      `\`order_by\` contains duplicate fields: [${list.map((one) => `'${one}'`).join(", ")}]`,
    );
  return [
    ...orderings.map(termOf),
    ...(names.includes("attribute.start_time")
      ? []
      : [{ value: attributes.start_time, descending: true }]),
    { value: attributes.run_id, descending: false },
  ];
}

export const viewTypes = ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"] as const;
export type Search = {
  experimentIds: string[];
  filter: string;
  order: string[];
  view: (typeof viewTypes)[number];
  limit: number;
};

const views = {
  ACTIVE_ONLY: sql`training_task.deleted_at is null`,
  DELETED_ONLY: sql`training_task.deleted_at is not null`,
  ALL: sql`true`,
};

/** Where a search goes on: the newest run that it looks through, and the last run's place among those that match. */
export type At = { newest: number; place: Place };

type Found = Record<string, string | number | null> & { id: number; bytes: number };

/** A page of runs, and where the next one begins. Throws MlflowError. */
export async function searchRuns(db: Db, auth: Auth, search: Search, at: At | undefined) {
  const terms = orderOf(search.order);
  const conditions = parseFilter(search.filter).map(conditionOf);
  const ids = search.experimentIds.filter((id) => /^\d{1,15}$/.test(id)).map(Number);
  if (ids.length === 0) return { runs: [], next: null };
  const limit = Math.min(search.limit, MOST_RUNS);
  const groups = sql`(training_task.experiment_group in (select e.name from experiment e where e.id in (select value from json_each(${JSON.stringify(ids)})))${
    ids.includes(0) ? sql` or training_task.experiment_group is null` : sql``
  })`;
  const newest = at ? sql`${at.newest}` : sql`(select coalesce(max(id), 0) from training_task)`;
  const columns = orderColumns(terms).map((one, n) => sql`${one} as ${sql.identifier(`o${n}`)}`);
  const placed = sql.join(
    columns.map((_, n) => sql.identifier(`o${n}`)),
    sql`, `,
  );
  const newestRuns = sql`(select id from training_task where id <= ${newest} order by id desc limit ${MOST_SCANNED})`;
  const {
    found,
    window: [scanned],
  } = await chain(db, {
    found: db.all<Found>(sql`
      select id, ${placed}, (select ${runBytes} from ${withRecord} where training_task.id = page.id) as bytes from (
        select id, ${placed} from (
          select training_task.id, ${sql.join(columns, sql`, `)} from ${newestRuns} seen
          cross join ${withRecord}
          where ${and(sql`training_task.id = seen.id`, groups, views[search.view], readable(auth), ...conditions)})
        ${at?.place.length ? sql`where ${behind(terms, at.place)}` : sql``}
        order by ${orderBy(terms)} limit ${limit + 1}) page`),
    window: db.all<{ newest: number; oldest: number | null }>(sql`
      select ${newest} as newest, (select id from training_task where id <= ${newest} order by id desc limit 1 offset ${MOST_SCANNED}) as oldest`),
  });
  let bytes = 0;
  const page = found.slice(0, limit).filter((row, n) => {
    bytes += Number(row.bytes);
    return n === 0 || bytes <= MOST_BYTES;
  });
  const runs = await readInOrder(
    db,
    page.map(({ id }) => id),
  );
  const last = page.at(-1);
  if (last && found.length > page.length)
    return {
      runs,
      next: {
        newest: Number(scanned?.newest ?? 0),
        place: columns.map((_, n) => last[`o${n}`] ?? null),
      },
    };
  const oldest = scanned?.oldest ?? null;
  return { runs, next: oldest === null ? null : { newest: oldest, place: [] } };
}

async function readInOrder(db: Db, ids: number[]) {
  if (ids.length === 0) return [];
  const rows = await selectRuns(
    db,
    sql`training_task.id in (select value from json_each(${JSON.stringify(ids)}))`,
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return ids.flatMap((id) => {
    const row = byId.get(id);
    return row ? [runOf(row)] : [];
  });
}
