import { and, eq, getTableColumns, type SQL, sql } from "drizzle-orm";
import type { Db } from "../platform/db/client.ts";
import { taskConfig, trainingTask } from "../platform/db/schema.ts";
import { wireName } from "../platform/db/wire.ts";
import {
  afterPlace,
  type Order,
  orderSql,
  type Term,
  type Value,
} from "../platform/filter/compile.ts";
import type { Place } from "../platform/filter/request.ts";
import { type Chosen, withWords } from "./select.ts";

const {
  keyId,
  registrationKey,
  registrationHash,
  settleAt,
  finalLossReported,
  watch,
  trashSince,
  attemptLimit,
  queueWaiting,
  queueDueAt,
  recordBytes,
  ...columns
} = getTableColumns(trainingTask);

/** A task's columns as answers give them. */
export const taskColumns = columns;

/** The columns without those that may be long and that nobody compares. */
const { notes, nodeInfo, command, additionalArgs, errorMessage, progress, ...short } = columns;
export const shortColumns = short;

/** Bytes of a list's rows; the database refuses an answer of about 9 MB. */
const LIST_BYTES = 8_000_000;
/** Columns that may be long, and what a row takes besides them at most. */
const longColumns = {
  notes,
  tags: columns.tags,
  nodeInfo,
  command,
  additionalArgs,
  errorMessage,
  samplePrompts: columns.samplePrompts,
};
const REST_BYTES = 12_000;

/**
 * A task's columns for a list of so many: of a row that is too long for its share of the answer, the
 * long ones are null, and `leftOut` names them. Reads no text to tell.
 */
export function listColumns(most: number) {
  const bytes = ([name]: string[]) =>
    sql`coalesce(octet_length(${sql.raw(`training_task.${name}`)}), 0)`;
  const names = Object.entries(longColumns).map(
    ([key, column]) => [wireName(key), key, column] as const,
  );
  const size = sql.join(
    names.map(([name]) => bytes([name])),
    sql` + `,
  );
  const fits = sql`${size} <= ${Math.floor(LIST_BYTES / most) - REST_BYTES}`;
  const listed = Object.fromEntries(
    names.map(([, key, column]) => [key, sql`iif(${fits}, ${column}, null)`.mapWith(column)]),
  ) as { [K in keyof typeof longColumns]: SQL<(typeof longColumns)[K]["_"]["data"] | null> };
  return {
    ...columns,
    ...listed,
    leftOut: sql<string | null>`iif(${fits}, null, ${sql.join(
      names.map(([name]) => sql`iif(${bytes([name])} > 0, ${`${name} `}, '')`),
      sql` || `,
    )})`.mapWith((text: string) => text.trim().split(" ")) as SQL<string[] | null>,
  };
}

/** Tasks that a filter without an index looks at in one call. */
export const MOST_SCANNED = 50_000;
/** And what these may weigh together, at about 5 µs each: documents and patterns make them fewer. */
const MOST_WEIGHT = 200_000;

/** How many of at most `most` tasks a call looks at, where looking at one weighs so much. */
export const withinWeight = (most: number, weight: number): number =>
  Math.min(most, Math.floor(MOST_WEIGHT / Math.max(1, weight)));

/** The terms that narrow the reading of an index on `column`: its ranges, and columns before it in the index. */
export function narrowing(terms: Term[], column: string): Term[] {
  const ranges = terms.filter((term) => term.column === column);
  if (column !== "created_at") return ranges;
  const equal = (name: string) =>
    terms.find((term) => term.column === name && term.equals !== undefined);
  const [status, user, model, epochs] = ["status", "user_id", "model_type", "epochs"].map(equal);
  // One index is read: by the states that few are in, else by user, by state, by setup.
  const few = status?.equals === "running" || status?.equals === "pending";
  const first = few ? status : (user ?? status);
  if (first) return [first, ...ranges];
  if (model && epochs) return [model, epochs, ...terms.filter((t) => t.column === "learning_rate")];
  return ranges;
}

/** How candidates are drawn in their order; `rest` is what is still to be asked of each. */
type Source = { from: SQL; id: SQL; order: Order[]; where: SQL[]; rest: SQL[] };

/** Orders that an index of the table serves. */
const indexed = new Set(["created_at", "final_loss", "deleted_at"]);

/** Columns that an index of the live tasks begins with. */
const narrowed = new Set([
  "status",
  "user_id",
  "created_at",
  "final_loss",
  "batch_size",
  "model_type",
]);

/**
 * Where a page's tasks come from, one source behind the other: the index that gives the order asked
 * for (behind the tasks that have a value those that miss it), or else all that match, sorted by the
 * database.
 */
function sourcesOf({ deleted, live, terms, words, order }: Chosen): Source[] {
  const joined = sql`left join task_config on task_config.task_id = training_task.id`;
  const table = {
    from: sql`training_task ${joined}`,
    id: sql`training_task.id`,
  };
  const all = terms.map((term) => term.sql);
  const [first, ...deeper] = order;
  if (!first) {
    const byId = terms.filter((term) => term.column === "id");
    const rest = terms.filter((term) => term.column !== "id").map((term) => term.sql);
    return words === null
      ? [{ ...table, order, where: [live, ...byId.map((term) => term.sql)], rest }]
      : [
          {
            from: sql`task_text`,
            id: sql`task_text.rowid`,
            order,
            where: [sql`task_text match ${words}`],
            rest: [live, ...all],
          },
        ];
  }
  const byMetric = deeper.length === 0 ? first.metric : undefined;
  if (words !== null || !(byMetric || indexed.has(first.name ?? ""))) {
    const wordy = words === null ? [] : [withWords(words)];
    const few = deleted || words !== null || terms.some(({ column }) => narrowed.has(column ?? ""));
    // All there are come four times as fast out of the table itself as through an index of all.
    const from = few ? table.from : sql`training_task not indexed ${joined}`;
    return [{ ...table, from, order, where: [live, ...all, ...wordy], rest: [] }];
  }
  const missing = sql`${first.column} is null`;
  if (byMetric) {
    const column = sql`metric_summary.${sql.identifier(byMetric.statistic)}`;
    return [
      {
        from: sql`metric_summary`,
        id: sql`metric_summary.task_id`,
        order: [{ ...first, column, missing: false }],
        where: [sql`metric_summary.metric = ${byMetric.name}`, sql`${column} is not null`],
        rest: [live, ...all],
      },
      { ...table, order: [], where: [live], rest: [missing, ...all] },
    ];
  }
  const narrow = narrowing(terms, first.name ?? "").map((term) => term.sql);
  const rest = all.filter((term) => !narrow.includes(term));
  if (!first.missing) return [{ ...table, order, where: [live, ...narrow], rest }];
  return [
    {
      ...table,
      order: [{ ...first, missing: false }, ...deeper],
      where: [live, ...narrow, sql`${first.column} is not null`],
      rest,
    },
    deeper.length
      ? { ...table, order: deeper, where: [live, missing, ...all], rest: [] }
      : { ...table, order: [], where: [live, missing], rest: all },
  ];
}

type Asked = {
  place: Place | undefined;
  limit: number;
  /** Candidates that are looked at at most. */
  most: number;
  /** Further values that a table asks for, a row's `values`. */
  fields: SQL[];
};

/** Draws up to `limit` tasks, and one more, from a source. */
async function draw<Columns extends Partial<typeof taskColumns> | ReturnType<typeof listColumns>>(
  db: Db,
  columns: Columns,
  { from, id, order, where, rest }: Source,
  { place, limit, most, fields }: Asked,
) {
  const [lastId, ...values] = place ?? [];
  const after = lastId === undefined ? undefined : afterPlace(order, values, id, lastId);
  const at = (n: number) => sql.identifier(`at${n}`);
  const places = order.map(({ column }, n) => sql`, ${column} as ${at(n)}`);
  const candidates = sql`select ${id} as id${sql.join(places)} from ${from} where ${and(...where, after)} order by ${orderSql(order, id)}`;
  const named = (prefix: string, columns: SQL[]) =>
    Object.fromEntries(columns.map((column, n) => [`${prefix}${n}`, column.as(`${prefix}${n}`)]));
  // CROSS JOIN keeps the loops in this order, so that candidates are drawn one at a time until the
  // page is full; an ORDER BY would draw all of them.
  const found = await db
    .select({
      id: trainingTask.id,
      task: columns,
      ...named(
        "at",
        order.map((_, n) => sql`candidate.${at(n)}`),
      ),
      ...named("field", fields),
    })
    .from(sql`(${candidates} limit ${rest.length ? most : limit + 1}) candidate`)
    .crossJoin(trainingTask)
    .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
    .where(and(sql`${trainingTask.id} = candidate.id`, ...rest))
    .limit(limit + 1);
  const placeIn = (id: number, cells: Record<string, unknown>): Place => [
    id,
    ...order.map((_, n) => cell(cells[`at${n}`])),
  ];
  const rows = found.map((row) => {
    const cells: Record<string, unknown> = row;
    return {
      id: row.id,
      task: row.task,
      place: placeIn(row.id, cells),
      values: fields.map((_, n) => cell(cells[`field${n}`])),
    };
  });
  if (rest.length === 0 || rows.length > limit) return { rows, scanned: null, resumeAt: null };
  const nowhere = sql.join(order.map(() => sql`, null`));
  const [looked] = await db.all<{ id: number | null; scanned: number }>(sql`
    select *, ${most} as scanned from (${candidates} limit 1 offset ${most - 1})
    union all select null${nowhere}, count(*) from (${candidates} limit ${most}) limit 1`);
  const resumeAt = looked && looked.id !== null ? placeIn(looked.id, looked) : null;
  return { rows, scanned: looked?.scanned ?? 0, resumeAt };
}

/** A value of an order as a cursor keeps it, or of a field as a table shows it. */
const cell = (value: unknown): Value =>
  typeof value === "string" || typeof value === "number" ? value : null;

/**
 * One page of tasks, and one row more, each with the given columns. Where something is still to be
 * asked of each task that an index gives, `most` are looked at: where the page is not full, `scanned`
 * says how many they were, and `resumeAt` is the place to go on behind if there are more.
 */
export async function listTasks<
  Columns extends Partial<typeof taskColumns> | ReturnType<typeof listColumns>,
>(
  db: Db,
  columns: Columns,
  query: { chosen: Chosen } & Pick<Asked, "place" | "limit"> & Partial<Asked>,
) {
  const { chosen, place, limit, fields = [] } = query;
  const { most = withinWeight(MOST_SCANNED, chosen.weight) } = query;
  const [first, second] = sourcesOf(chosen);
  const [lastId, value, ...values] = place ?? [];
  const beyond = second !== undefined && lastId !== undefined && value === null;
  const there =
    first && !beyond
      ? await draw(db, columns, first, { place, limit, most, fields })
      : { rows: [], scanned: null, resumeAt: null };
  if (!second || there.resumeAt || there.rows.length > limit) return there;
  const missing = await draw(db, columns, second, {
    place: beyond ? [lastId, ...values] : undefined,
    limit: limit - there.rows.length,
    most: most - (there.scanned ?? 0),
    fields,
  });
  const whole = ([id, ...rest]: Place): Place => [id, null, ...rest];
  return {
    rows: [...there.rows, ...missing.rows.map((row) => ({ ...row, place: whole(row.place) }))],
    scanned: missing.scanned === null ? null : (there.scanned ?? 0) + missing.scanned,
    resumeAt: missing.resumeAt && whole(missing.resumeAt),
  };
}
