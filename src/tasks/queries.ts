import { and, desc, eq, getTableColumns, type SQL, sql } from "drizzle-orm";
import type { Db } from "../db/client.ts";
import { taskConfig, trainingTask } from "../db/schema.ts";
import { behind, type Order, orderSql } from "../filter/compile.ts";

const {
  keyId,
  registrationKey,
  registrationHash,
  settleAt,
  finalLossReported,
  watch,
  trashSince,
  ...columns
} = getTableColumns(trainingTask);

/** A task's columns as answers give them. */
export const taskColumns = columns;

/** Tasks that a filter without an index looks at in one call. */
export const MOST_SCANNED = 50_000;

type Place = readonly (string | number | null)[];

/**
 * One page of tasks, and one row more. `base` is what an index serves, `condition` what a filter
 * asks besides; `place` is [id, values of the order] of the last row before. A filter in the
 * default order looks at MOST_SCANNED tasks at most: where it stopped before the page was full,
 * `scanned` says how many they were, and `resumeAt` the id to go on behind.
 */
export async function listTasks<Columns extends Partial<typeof taskColumns>>(
  db: Db,
  columns: Columns,
  query: {
    base: SQL | undefined;
    condition: SQL | undefined;
    order: Order[];
    place: Place | undefined;
    limit: number;
    /** What a table asks besides, a row's `values`. */
    fields?: SQL[];
  },
) {
  const { base, condition, order, place, limit, fields = [] } = query;
  const [id, ...values] = place ?? [];
  const after = id === undefined ? undefined : behind(order, values, Number(id));
  const bounded = condition !== undefined && order.length === 0;
  const named = (prefix: string, columns: SQL[]) =>
    Object.fromEntries(columns.map((column, n) => [`${prefix}${n}`, column.as(`${prefix}${n}`)]));
  const selected = {
    id: trainingTask.id,
    task: columns,
    ...named(
      "at",
      order.map((o) => o.column),
    ),
    ...named("field", fields),
  };
  const candidates = db
    .select({ id: trainingTask.id })
    .from(trainingTask)
    .where(and(base, after))
    .orderBy(desc(trainingTask.id))
    .limit(MOST_SCANNED);
  const window = candidates.as("candidate");
  const found = bounded
    ? // CROSS JOIN keeps the loops in this order, so that candidates are drawn one at a time, newest
      // first, until the page is full; an ORDER BY would draw all of them.
      await db
        .select(selected)
        .from(window)
        .crossJoin(trainingTask)
        .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
        .where(and(eq(trainingTask.id, window.id), condition))
        .limit(limit + 1)
    : await db
        .select(selected)
        .from(trainingTask)
        .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
        .where(and(base, condition, after))
        .orderBy(orderSql(order))
        .limit(limit + 1);
  const rows = found.map((row) => {
    const cells: Record<string, unknown> = row;
    return {
      id: row.id,
      task: row.task,
      place: order.map((_, n) => cell(cells[`at${n}`])),
      values: fields.map((_, n) => cell(cells[`field${n}`])),
    };
  });
  if (!bounded || rows.length > limit) return { rows, scanned: null, resumeAt: null };
  const [looked] = await db.all<{ scanned: number; last: number | null }>(
    sql`select count(*) as scanned, min(id) as last from (${candidates})`,
  );
  const scanned = looked?.scanned ?? 0;
  return { rows, scanned, resumeAt: scanned < MOST_SCANNED ? null : (looked?.last ?? null) };
}

/** A value of an order as a cursor keeps it, or of a field as a table shows it. */
const cell = (value: unknown): string | number | null =>
  typeof value === "string" || typeof value === "number" ? value : null;
