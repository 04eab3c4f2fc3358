import { type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, pageQuery } from "../platform/http/page.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { choiceName, chooseTasks } from "../runs/select.ts";
import {
  groupBy,
  groupKey,
  keysSelected,
  numbersOf,
  oneOf,
  percentiles,
  readGroupings,
  readSelected,
  sourceOf,
} from "./aggregates.ts";
import { parameterColumns } from "./compare-parameters.ts";
import { choice, complete, groupByQuery } from "./group-query.ts";
import { cautionFor, influenceOf } from "./influence.ts";

const cell = z.union([z.string(), z.number(), z.null()]);
type Cell = z.infer<typeof cell>;
type GroupRow = { n: number; tasks: number; groups: number; key: string } & Record<string, Cell>;

/** A caution as a sentence, and what says it in another language (shared/mistakes.ts). */
const cautionFields = {
  caution: z.string().nullable(),
  caution_code: z.string().nullable(),
  caution_params: z.record(z.string(), z.union([z.string(), z.number()])),
};

const toWireCaution = (caution: ReturnType<typeof cautionFor> | null) => ({
  caution: caution?.message ?? null,
  caution_code: caution?.code ?? null,
  caution_params: caution?.params ?? {},
});

const statsQuery = z.strictObject({
  ...choice,
  ...pageQuery,
  group_by: groupByQuery,
  select: z
    .string()
    .max(2000)
    .default("count")
    .describe(
      "Values to compute: count, count(x), avg(x), min(x), max(x), sum(x) and percentiles p1(x) to p99(x), where x is a column, metrics.… or config.…",
    ),
  order_by: z
    .string()
    .max(1000)
    .optional()
    .describe(
      "One name of group_by or select, with `-` before it for descending order. Default: by group.",
    ),
});

/** ORDER BY of groups. Throws ApiError 422. */
function groupOrder(asked: string | undefined, groups: string[], selected: string[]): SQL {
  const keys = groups.map((_, n) => sql.raw(`k${n} is null, k${n}`));
  if (!asked?.trim()) return keys.length ? sql`order by ${sql.join(keys, sql`, `)}` : sql``;
  const [, minus, name = ""] = asked.trim().match(/^(-?)\s*(.*)$/s) ?? [];
  const [key, value] = [groups.indexOf(name), selected.indexOf(name)];
  if (key < 0 && value < 0)
    throw notValid([
      { path: "order_by", message: "takes one of group_by or select, but no percentile" },
    ]);
  const by = sql.raw(key >= 0 ? `k${key}` : `s${value}`);
  const first = sql`${by} is null, ${by} ${sql.raw(minus ? "desc" : "asc")}`;
  return sql`order by ${sql.join([first, ...keys], sql`, `)}`;
}

/** Runs that influence is drawn from: what a Worker can rank in a few milliseconds. */
const MOST_RUNS = 300;
const MOST_PARAMETERS = 60;
const MOST_SNAPSHOT = 50_000;

/** A value whose text is cut, so that an answer stays small. */
const shorten = (value: SQL) =>
  sql`iif(typeof(${value}) = 'text', substr(${value}, 1, 200), ${value})`;

export const stats = new Hono<App>()
  .get(
    "/tasks",
    describe({
      summary: "Aggregate over tasks",
      description:
        "Computes counts, means, extremes, sums and percentiles of the chosen tasks for each group. `scanned` is the number of tasks read. Percentiles of many values come from a sample, and `approximate` says so.",
      tag: "Statistics",
      answer: {
        schema: z.object({
          items: z.array(
            z.object({
              group: z.record(z.string(), cell),
              values: z.record(z.string(), cell),
              one_of: z
                .int()
                .optional()
                .describe("The percentiles come from one of so many tasks of the group."),
            }),
          ),
          next_cursor: z.string().nullable(),
          groups: z.int().describe("Number of groups on all pages."),
          scanned: z.int(),
          complete,
          approximate: z
            .object({
              values: z.array(z.string()),
              why: z.string(),
            })
            .nullable(),
        }),
        description: "The groups.",
        example: {
          items: [{ group: { batch_size: 4 }, values: { count: 12, "avg(final_loss)": 0.21 } }],
          next_cursor: null,
          groups: 1,
          scanned: 12,
          complete: true,
          approximate: null,
        },
      },
      errors: { 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    validate("query", statsQuery),
    async (c) => {
      const { limit, cursor, group_by, select, order_by, ...chosenBy } = c.req.valid("query");
      const { db, auth } = c.var;
      const groupings = readGroupings(group_by);
      const selected = readSelected(select);
      const direct = selected.filter((s) => s.share === undefined);
      const weight = [...groupings, ...selected].reduce((all, one) => all + one.weight, 0);
      const { rows, candidates, most } = sourceOf(chooseTasks(auth, chosenBy), { weight });
      const list = await choiceName(`stats ${group_by} ${select} ${order_by}`, chosenBy);
      const [from] = cursor ? decodeCursor(list, cursor, z.tuple([z.int().min(0)])) : [0];
      const values = direct.map(({ sql: value }, n) => sql`, ${value} as ${sql.raw(`s${n}`)}`);
      const order = groupOrder(
        order_by,
        groupings.map((g) => g.name),
        direct.map((s) => s.name),
      );
      const {
        groups,
        looked: [looked],
      } = await chain(db, {
        groups: db.all<GroupRow>(sql`
          select count(*) as n, sum(count(*)) over () as tasks, count(*) over () as groups,
            ${groupKey(groupings.map((g) => g.sql))} as key ${keysSelected(groupings)} ${sql.join(values)}
          from ${rows} ${groupBy(groupings)} ${order} limit ${limit + 1} offset ${from}`),
        looked: db.all<{ scanned: number }>(candidates ?? sql`select 0 as scanned`),
      });
      const { tasks = 0, groups: all = 0 } = groups[0] ?? {};
      const page = groups
        .slice(0, limit)
        .map((row) => ({ row, key: row.key, every: oneOf(row.n, Math.min(all, limit)) }));
      const shares = selected.flatMap((s) => (s.share === undefined ? [] : [s]));
      const fields = [...Map.groupBy(shares, (s) => s.field).values()];
      const statements = fields.map((own) =>
        db.all<Record<string, Cell>>(
          percentiles(
            rows,
            groupings,
            own[0]?.sql ?? sql`null`,
            own.map((s) => s.share),
            page,
          ),
        ),
      );
      const { drawn } =
        statements.length && page.length ? await chain(db, { drawn: statements }) : { drawn: [] };
      const found = drawn.map((own) => new Map(own.map((row) => [row.key, row])));
      const percentileOf = (s: (typeof shares)[number], key: string): Cell => {
        const at = fields.findIndex((own) => own.includes(s));
        return found[at]?.get(key)?.[`p${fields[at]?.indexOf(s)}`] ?? null;
      };
      const rough = shares.length > 0 && page.some(({ every }) => every > 1);
      return c.json({
        items: page.map(({ row, key, every }) => ({
          group: Object.fromEntries(groupings.map(({ name }, n) => [name, row[`k${n}`] ?? null])),
          values: Object.fromEntries(
            selected.map((s) => [
              s.name,
              s.share === undefined ? (row[`s${direct.indexOf(s)}`] ?? null) : percentileOf(s, key),
            ]),
          ),
          ...(rough && { one_of: every }),
        })),
        next_cursor: groups.length > limit ? encodeCursor(list, [from + limit]) : null,
        groups: all,
        scanned: looked?.scanned || tasks,
        complete: (looked?.scanned ?? 0) < most,
        approximate: rough
          ? {
              values: shares.map((s) => s.name),
              why: "Of groups with many tasks percentiles are drawn from one of every `one_of` tasks.",
            }
          : null,
      });
    },
  )
  .get(
    "/influence",
    describe({
      summary: "Rank settings by their correlation with a result",
      description: `Gives, for each setting that varies among the chosen runs, its rank correlation with the metric (for categories: the share of the ranks that they explain), the median for each value, and the number of runs. Of more than ${MOST_RUNS} runs the newest are used. A correlation is no cause.`,
      tag: "Statistics",
      answer: {
        schema: z.object({
          metric: z.string(),
          runs: z.int().describe("Number of runs with that metric that were used."),
          sampled: z
            .boolean()
            .describe(`true: more runs match, and the newest ${MOST_RUNS} were used.`),
          complete,
          ...cautionFields,
          parameters: z.array(
            z.object({
              name: z.string(),
              kind: z.enum(["number", "category"]),
              runs: z.int(),
              distinct: z.int(),
              correlation: z.number().nullable(),
              strength: z.number().describe("From 0 to 1; parameters are ordered by it."),
              spread: z.number().describe("Difference between the lowest and the highest median."),
              groups: z.array(
                z.object({
                  value: z.json(),
                  upto: z
                    .json()
                    .optional()
                    .describe("The highest value of a group that is a range."),
                  runs: z.int(),
                  median: z.number(),
                }),
              ),
              ...cautionFields,
            }),
          ),
        }),
        description: "The settings, strongest first.",
      },
      errors: { 422: "A parameter is not valid." },
    }),
    allow("tasks:read"),
    validate(
      "query",
      z.strictObject({
        ...choice,
        metric: z
          .string()
          .max(300)
          .default("final_loss")
          .describe("A numeric field: a column or metrics.…"),
      }),
    ),
    async (c) => {
      const { metric, ...chosenBy } = c.req.valid("query");
      const { db, auth } = c.var;
      const value = numbersOf("metric", metric);
      const { rows, candidates, most } = sourceOf(chooseTasks(auth, chosenBy), {
        also: sql`${value} is not null`,
      });
      // Candidates come newest first by themselves, and so only as many as are needed.
      const sample = sql`select training_task.id as id, ${value} as v from ${rows}
        ${candidates ? sql`` : sql`order by training_task.created_at desc, training_task.id desc`} limit ${MOST_RUNS + 1}`;
      const columns = parameterColumns.filter((name) => name !== metric);
      const {
        runs,
        leaves,
        looked: [looked],
      } = await chain(db, {
        runs: db.all<{ id: number; v: number; cells: string }>(sql`
          select s.id, s.v, json_array(${sql.join(
            columns.map((name) => shorten(sql`t.${sql.identifier(name)}`)),
            sql`, `,
          )}) as cells from (${sample}) s join training_task t on t.id = s.id`),
        leaves: db.all<{ path: string; cells: string }>(sql`
          select j.fullkey as path, json_group_array(json_array(s.id, ${shorten(sql`j.atom`)})) as cells
          from (${sample}) s join task_config on task_config.task_id = s.id join json_tree(task_config.snapshot) j
          where j.atom is not null and length(task_config.snapshot) <= ${MOST_SNAPSHOT}
          group by j.fullkey having count(distinct j.atom) > 1
          order by count(*) desc, j.fullkey limit ${MOST_PARAMETERS}`),
        looked: db.all<{ scanned: number }>(candidates ?? sql`select 0 as scanned`),
      });
      const taken = runs.slice(0, MOST_RUNS);
      const results = new Map(taken.map(({ id, v }) => [id, v]));
      const parameters = new Map<string, [id: number, value: Cell][]>(
        columns.map((name) => [name, []]),
      );
      for (const { id, cells } of taken)
        for (const [n, value] of (JSON.parse(cells) as Cell[]).entries())
          if (value !== null) parameters.get(columns[n] ?? "")?.push([id, value]);
      // A setting that the file has under another name appears once, under the column's name.
      const known = new Set([...parameters.values()].map((cells) => JSON.stringify(cells)));
      for (const { path, cells } of leaves) {
        const own = (JSON.parse(cells) as [number, Cell][]).filter(([id]) => results.has(id));
        if (!known.has(JSON.stringify(own))) parameters.set(`config${path.slice(1)}`, own);
      }
      const found = [...parameters].flatMap(
        ([name, cells]) =>
          influenceOf(
            name,
            cells.map(([, value]) => value),
            cells.map(([id]) => results.get(id) ?? 0),
          ) ?? [],
      );
      return c.json({
        metric,
        runs: taken.length,
        sampled: runs.length > MOST_RUNS,
        complete: (looked?.scanned ?? 0) < most,
        ...toWireCaution(cautionFor(taken.length)),
        parameters: found
          .sort((a, b) => b.strength - a.strength || b.runs - a.runs)
          .map(({ caution, ...influence }) => ({ ...influence, ...toWireCaution(caution) })),
      });
    },
  );
