import { and, type SQL, sql } from "drizzle-orm";
import { splitFields } from "../platform/filter/compile.ts";
import { fieldOf } from "../platform/filter/request.ts";
import { notValid } from "../platform/http/validate.ts";
import { narrowing, withinWeight } from "../runs/queries.ts";
import { type Chosen, withWords } from "../runs/select.ts";
import { longTexts } from "../shared/run-fields.ts";

/** Tasks that an aggregate looks at at most where no index serves its filter. */
export const MOST_AGGREGATED = 200_000;
/** Tasks that the percentiles of an answer are drawn from about; each of its groups gives as many. */
const DRAWN = 20_000;
/** But a group gives this many in any case. */
const LEAST_DRAWN = 500;
const MOST_GROUPINGS = 4;
const MOST_SELECTED = 20;

const buckets: Record<string, (time: SQL) => SQL> = {
  hour: (time) => sql`substr(${time}, 1, 13)`,
  day: (time) => sql`substr(${time}, 1, 10)`,
  // The week's Monday.
  week: (time) => sql`date(${time}, 'weekday 0', '-6 days')`,
  month: (time) => sql`substr(${time}, 1, 7)`,
  year: (time) => sql`substr(${time}, 1, 4)`,
};

/** `weight`: what it costs a task to look it up in a document, as a filter's comparisons are counted. */
export type Grouping = { name: string; sql: SQL; weight: number };

const isLongText = (name: string) => longTexts.some((long) => long === name);
/** Of a longer text its beginning and length are the group's key: keys come with every answer. */
const MOST_KEY = 200;
const groupText = (value: SQL) =>
  sql`(case when typeof(${value}) = 'text' and length(${value}) > ${MOST_KEY}
    then substr(${value}, 1, ${MOST_KEY}) || '… (' || length(${value}) || ')' else ${value} end)`;

/** `group_by`: fields, or dates by `day(created_at)`, `week(…)`, `month(…)`, `year(…)`, `hour(…)`. */
export function readGroupings(source: string): Grouping[] {
  const names = splitFields(source);
  if (names.length > MOST_GROUPINGS)
    throw notValid([{ path: "group_by", message: `takes up to ${MOST_GROUPINGS} fields` }]);
  return names.map((name) => {
    const [, bucket = "", inner] = name.match(/^(\w+)\((.*)\)$/s) ?? [];
    if (inner === undefined) {
      const { sql: value, json } = fieldOf("group_by", name);
      const long = json !== undefined || isLongText(name);
      return { name, sql: long ? groupText(value) : value, weight: json ? 4 : 0 };
    }
    const cut = buckets[bucket];
    const field = fieldOf("group_by", inner);
    if (!cut || field.type !== "time")
      throw notValid([
        {
          path: "group_by",
          message: `${name}: takes ${Object.keys(buckets).join(", ")} of a time such as created_at`,
        },
      ]);
    return { name, sql: cut(field.sql), weight: 0 };
  });
}

/** A field's numbers: what a trainer's file or a tag holds besides is left out. */
export function numbersOf(path: string, name: string): SQL {
  const { sql: value, type } = fieldOf(path, name);
  if (type === "any") return sql`(case when typeof(${value}) <> 'text' then ${value} end)`;
  if (type !== "number")
    throw notValid([{ path, message: `${name}: is not a number, so it has no average or rank` }]);
  return value;
}

/** What `select` asks of each group: an aggregate, or the percentile of some numbers. */
export type Selected = { name: string; sql: SQL; weight: number } & (
  | { share?: undefined }
  | { share: number; field: string }
);

export function readSelected(source: string): Selected[] {
  const names = splitFields(source);
  if (names.length > MOST_SELECTED)
    throw notValid([{ path: "select", message: `takes up to ${MOST_SELECTED} values` }]);
  return names.map((name): Selected => {
    const [, kind = "", inner] = name.match(/^(\w+)(?:\((.*)\))?$/s) ?? [];
    const word = kind.toLowerCase();
    // Numbers of a document are looked up twice: for their type, and for what they are.
    const weight = inner !== undefined && fieldOf("select", inner).json ? 2 : 0;
    if (word === "count")
      return {
        ...{ name, weight },
        sql: inner === undefined ? sql`count(*)` : sql`count(${fieldOf("select", inner).sql})`,
      };
    if (inner !== undefined && /^p[1-9]\d?$/.test(word))
      return {
        ...{ name, weight },
        sql: numbersOf("select", inner),
        share: Number(word.slice(1)) / 100,
        field: inner.trim(),
      };
    if (inner !== undefined && /^(min|max)$/.test(word) && fieldOf("select", inner).type === "time")
      return { name, weight, sql: sql`${sql.raw(word)}(${fieldOf("select", inner).sql})` };
    if (inner !== undefined && /^(avg|min|max|sum)$/.test(word))
      return { name, weight, sql: sql`${sql.raw(word)}(${numbersOf("select", inner)})` };
    throw notValid([
      {
        path: "select",
        message: `${name}: takes count, count(…), avg(…), min(…), max(…), sum(…) and percentiles such as p50(…)`,
      },
    ]);
  });
}

/**
 * The chosen tasks, as FROM and WHERE. Where no index serves the filter, or documents are read,
 * only the newest `most` are looked at; `candidates` counts them then. `weight` is what a task costs
 * besides the filter.
 */
export function sourceOf(
  { live, terms, words, ...chosen }: Chosen,
  {
    weight = 0,
    also,
    newest = MOST_AGGREGATED,
  }: { weight?: number; also?: SQL; newest?: number } = {},
) {
  const all = weight + chosen.weight;
  // Aggregates are asked for less often than pages of a list, so one may take longer.
  const most = withinWeight(newest, all / 4);
  const narrow = narrowing(terms, "created_at");
  const rest = terms.filter((term) => !narrow.includes(term)).map((term) => term.sql);
  if ((rest.length === 0 && all === 0) || words !== null) {
    const wordy = words === null ? [] : [withWords(words)];
    const where = and(live, ...terms.map((term) => term.sql), ...wordy, also);
    return { rows: sql`training_task where ${where}`, candidates: null, most };
  }
  const candidates = sql`select id from training_task
    where ${and(live, ...narrow.map((term) => term.sql))}
    order by created_at desc, id desc limit ${most}`;
  return {
    rows: sql`(${candidates}) candidate cross join training_task on training_task.id = candidate.id
      where ${and(...rest, also) ?? sql`true`}`,
    candidates: sql<number>`select count(*) as scanned from (${candidates})`,
    most,
  };
}

/** Names for the groups' values in SQL. */
export const keyNames = (groupings: Grouping[]): SQL[] => groupings.map((_, n) => sql.raw(`k${n}`));

/** `, x as k0, y as k1`, to be selected. */
export const keysSelected = (groupings: Grouping[]): SQL =>
  sql.join(groupings.map(({ sql: key }, n) => sql`, ${key} as ${sql.raw(`k${n}`)}`));

/** `group by k0, k1`, or nothing. */
export const groupBy = (groupings: Grouping[]): SQL =>
  groupings.length ? sql`group by ${sql.join(keyNames(groupings), sql`, `)}` : sql``;

/** A group's values as one text, by which it is found again. */
export const groupKey = (keys: SQL[]): SQL => sql`json_array(${sql.join(keys, sql`, `)})`;

/** Of how many of a group's tasks one is taken for percentiles, where the answer has so many groups. */
export const oneOf = (tasks: number, groups: number): number =>
  Math.ceil(tasks / Math.max(LEAST_DRAWN, Math.floor(DRAWN / groups)));

/**
 * Percentiles of one field as p0, p1, … in a row for each of the given groups: between two values in
 * proportion, as most tools do it.
 */
export function percentiles(
  rows: SQL,
  groupings: Grouping[],
  values: SQL,
  shares: number[],
  groups: { key: string; every: number }[],
): SQL {
  const at = shares.map(
    (share, n) =>
      sql`, sum(v * max(0.0, 1.0 - abs(nth - (1.0 + (n - 1) * ${share})))) as ${sql.raw(`p${n}`)}`,
  );
  const wanted = JSON.stringify(groups.map(({ key, every }) => [key, every]));
  // By a hash of the id, so that the sample depends on nothing that was recorded in turns.
  return sql`
    select key ${sql.join(at)} from (
      select key, v, row_number() over (partition by key order by v) as nth, count(*) over (partition by key) as n
      from (select training_task.id as id, ${values} as v, ${groupKey(groupings.map((g) => g.sql))} as key
        from ${rows} and ${values} is not null) drawn
      join (select value ->> 0 as name, value ->> 1 as every from json_each(${wanted})) wanted on wanted.name = drawn.key
      where (drawn.id * 2654435761 >> 12) % wanted.every = 0)
    group by key`;
}
