import { eq, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import { parseOrder } from "../platform/filter/compile.ts";
import { explainFaults } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { taskAnswer } from "../runs/fields.ts";
import { listColumns, listTasks } from "../runs/queries.ts";
import { chooseTasks } from "../runs/select.ts";
import { isHigherBetter } from "../shared/metrics.ts";
import {
  groupBy,
  keyNames,
  keysSelected,
  numbersOf,
  readGroupings,
  sourceOf,
} from "./aggregates.ts";
import { choice, complete, groupByQuery } from "./group-query.ts";

const cell = z.union([z.string(), z.number(), z.null()]);

/** Whether the highest value of a field leads: that of a metric whose name says so, and no step of it. */
const isRankedFromTop = (field: string) =>
  /^metrics\./.test(field) &&
  !/\.best_step$/.test(field) &&
  isHigherBetter(field.replace(/^metrics\.|"/g, "").replace(/\.(?:best|last|min|max)$/, ""));

export const leaderboard = new Hono<App>().get(
  "/",
  describe({
    summary: "List the best runs",
    description:
      "Ranks runs by a metric: the best run of each group, or without group_by the best runs. Runs without a value are left out; `metrics.…` exist for ended runs only. `filter=status = 'success'` leaves out runs that did not succeed.",
    tag: "Statistics",
    answer: {
      schema: z.object({
        items: z.array(
          z.object({
            group: z.record(z.string(), cell),
            value: z.number(),
            runs: z.int().nullable().describe("Number of runs of the group that have a value."),
            task: taskAnswer,
          }),
        ),
        complete,
      }),
      description: "Runs, best first.",
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
      direction: z
        .enum(["min", "max"])
        .optional()
        .describe(
          "Whether the lowest or the highest value is the best. Default: `max` of a metric whose name says so, as accuracies and rewards (docs/glossary.md); else `min`.",
        ),
      group_by: groupByQuery,
      limit: z.coerce.number().int().min(1).max(200).default(20),
    }),
  ),
  async (c) => {
    const { metric, group_by, limit, ...query } = c.req.valid("query");
    const { direction = isRankedFromTop(metric) ? "max" : "min", ...chosenBy } = query;
    const { db, auth } = c.var;
    numbersOf("metric", metric);
    const order = explainFaults("metric", () =>
      parseOrder(`${direction === "max" ? "-" : ""}${metric}`),
    );
    const value = order[0]?.column ?? sql`null`;
    const there = sql`${value} is not null`;
    const chosen = chooseTasks(auth, chosenBy);
    const groupings = readGroupings(group_by);
    if (groupings.length === 0) {
      const terms = [...chosen.terms, { sql: there }];
      const { rows, resumeAt } = await listTasks(db, listColumns(limit + 1), {
        chosen: { ...chosen, terms, order },
        ...{ place: undefined, limit, fields: [value] },
      });
      return c.json({
        items: rows.slice(0, limit).map(({ task, values }) => ({
          ...{ group: {}, value: values[0] ?? null, runs: null },
          task: toWire(task),
        })),
        complete: resumeAt === null,
      });
    }
    const weight = groupings.reduce((all, one) => all + one.weight, 0);
    const { rows, candidates, most } = sourceOf(chosen, { weight, also: there });
    const keys = keyNames(groupings);
    const [best, worst] = direction === "max" ? ["max", "desc"] : ["min", "asc"];
    // With min() or max() SQLite takes the other columns from the row that has that value.
    const groups = sql`
      select ${sql.raw(best)}(${value}) as v, training_task.id as id, count(*) as n ${keysSelected(groupings)}
      from ${rows} ${groupBy(groupings)} order by v ${sql.raw(worst)}, training_task.id limit ${limit}`;
    const column = <T>(name: SQL | string) =>
      sql<T>`g.${typeof name === "string" ? sql.raw(name) : name}`;
    const {
      found,
      looked: [looked],
    } = await chain(db, {
      found: db
        .select({
          task: listColumns(limit),
          value: column<number>("v"),
          runs: column<number>("n"),
          keys: sql<string>`json_array(${sql.join(
            keys.map((key) => column(key)),
            sql`, `,
          )})`,
        })
        .from(sql`(${groups}) g`)
        .innerJoin(trainingTask, eq(trainingTask.id, column<number>("id")))
        .orderBy(sql`g.v ${sql.raw(worst)}, g.id`),
      looked: db.all<{ scanned: number }>(candidates ?? sql`select 0 as scanned`),
    });
    return c.json({
      items: found.map(({ task, value: own, runs, keys: cells }) => {
        const values: (string | number | null)[] = JSON.parse(cells);
        return {
          group: Object.fromEntries(groupings.map(({ name }, n) => [name, values[n] ?? null])),
          ...{ value: own, runs, task: toWire(task) },
        };
      }),
      complete: (looked?.scanned ?? 0) < most,
    });
  },
);
