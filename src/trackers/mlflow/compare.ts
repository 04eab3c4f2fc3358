/*
 * Comparisons of MLflow's filters as SQL with every value bound, and places in an order.
 */
import { type SQL, sql } from "drizzle-orm";
import { invalid } from "./body.ts";
import { type Clause, type Comparator, globOf, type Literal, listed } from "./filter.ts";

const numeric: Comparator[] = [">", ">=", "=", "!=", "<", "<="];
const textual: Comparator[] = ["=", "!=", "LIKE", "ILIKE"];

function refuseComparator(comparator: Comparator, allowed: Comparator[]) {
  if (!allowed.includes(comparator))
    throw invalid(`Invalid comparator '${comparator}' not one of '${listed(allowed)}'`);
}

/** Compares a number; `what` names its kind in refusals. */
export function compareNumber(value: SQL, { comparator, literal }: Clause, what: string): SQL {
  refuseComparator(comparator, numeric);
  if (literal.kind !== "number")
    throw invalid(`Expected numeric value type for ${what}. Found ${literal.source}`);
  return sql`${value} ${sql.raw(comparator)} ${literal.value}`;
}

/** A metric's last value: NaN, the text, is different from any number and compares with none. */
export const compareMetric = (value: SQL, clause: Clause): SQL => {
  const condition = compareNumber(sql`m.v`, clause, "metric");
  const notANumber = sql`typeof(m.v) = 'text'`;
  return sql`exists (select 1 from (select ${value} as v) m where m.v is not null and ${
    clause.comparator === "!="
      ? sql`(${notANumber} or ${condition})`
      : sql`not (${notANumber}) and ${condition}`
  })`;
};

function textIn(literal: Literal, what: string): string {
  if (literal.kind === "text") return literal.value;
  if (literal.kind === "word")
    throw invalid(
      `${what[0]?.toUpperCase()}${what.slice(1)} value is either not quoted or unidentified quote types used for string value ${literal.source}. Use either single or double quotes.`,
    );
  throw invalid(
    `Expected a quoted string value for ${what} (e.g. 'my-value'). Got value ${literal.source}`,
  );
}

/** Compares a text. `more` are further comparators that it takes. */
export function compareText(
  value: SQL,
  { comparator, literal }: Clause,
  what: string,
  more: Comparator[] = [],
): SQL {
  refuseComparator(comparator, [...textual, ...more]);
  if (comparator === "IS NULL" || comparator === "IS NOT NULL")
    return sql`${value} ${sql.raw(comparator.toLowerCase())}`;
  if (comparator === "IN" || comparator === "NOT IN") {
    if (literal.kind !== "list")
      throw invalid(
        `Expected a list of quoted string values for ${what}. Got value ${literal.source}`,
      );
    const values = literal.values.map((one) => textIn(one, what));
    return sql`${value} ${sql.raw(comparator.toLowerCase())} (select value from json_each(${JSON.stringify(values)}))`;
  }
  const text = textIn(literal, what);
  if (comparator === "LIKE") return sql`${value} glob ${globOf(text)}`;
  if (comparator === "ILIKE") return sql`lower(${value}) glob lower(${globOf(text)})`;
  return sql`${value} ${sql.raw(comparator)} ${text}`;
}

/** A field of an order. `value` is null where a run has none, and a text where it is NaN, if `metric`. */
export type Term = { value: SQL; descending: boolean; metric?: boolean };
export type Place = (string | number | null)[];

/** The columns of an order: a rank (a value, NaN, none) and the value. */
export const orderColumns = (terms: Term[]): SQL[] =>
  terms.flatMap(({ value, metric }) => [
    metric
      ? sql`case when ${value} is null then 2 when typeof(${value}) = 'text' then 1 else 0 end`
      : sql`iif(${value} is null, 2, 0)`,
    metric ? sql`iif(typeof(${value}) = 'text', null, ${value})` : value,
  ]);

const column = (n: number) => sql.identifier(`o${n}`);

/** ORDER BY over the columns o0, o1 … of orderColumns(). */
export const orderBy = (terms: Term[]): SQL =>
  sql.join(
    terms.flatMap(({ descending }, n) => [
      sql`${column(2 * n)}`,
      sql`${column(2 * n + 1)} ${sql.raw(descending ? "desc" : "asc")}`,
    ]),
    sql`, `,
  );

/** The condition that a row comes behind a place: the values of all columns of the order, in turn. */
export function behind(terms: Term[], place: Place, from = 0): SQL {
  if (from >= 2 * terms.length) return sql`false`;
  const value = place[from] ?? null;
  const deeper = behind(terms, place, from + 1);
  const name = column(from);
  if (value === null) return sql`(${name} is null and ${deeper})`;
  const descending = from % 2 === 1 && terms[(from - 1) / 2]?.descending === true;
  const past = sql.raw(descending ? "<" : ">");
  return sql`(${name} ${past} ${value} or (${name} = ${value} and ${deeper}))`;
}
