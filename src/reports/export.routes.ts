import { and, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import type { Db } from "../platform/db/client.ts";
import { placeOf } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { encodeCursor, pageQuery } from "../platform/http/page.ts";
import { flag } from "../platform/http/params.ts";
import { streamOf } from "../platform/http/stream.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { listTasks } from "../runs/queries.ts";
import { choiceName, chooseTasks, taskChoice } from "../runs/select.ts";
import { type ExportColumn, exportColumns, jsonArgument, rowSize } from "./export-columns.ts";
import { formats } from "./export-formats.ts";
import type { Cell, Writer } from "./export-writer.ts";

/** Tasks that one query brings, and about how many bytes: sqld answers no more than some 9 MB. */
const PAGE_TASKS = 500;
const PAGE_BYTES = 2_500_000;
/** Queries that one call makes; a free plan's Worker may make 50 requests of its own. */
const MOST_PAGES = 40;
/** Arguments that a function of SQLite takes: 127 at most. */
const ARGUMENTS = 100;
const MOST_TASKS = PAGE_TASKS * MOST_PAGES;

const exportQuery = z.strictObject({
  ...taskChoice,
  format: z.enum(["csv", "jsonl", "parquet"]).default("csv"),
  columns: z
    .string()
    .max(10_000)
    .optional()
    .describe(
      "Columns, separated by commas: fields of a task, user, config_snapshot, metrics, and config.…, metrics.…, tags.… as in filters. Default: all; for CSV all except config_snapshot and metrics.",
    ),
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(MOST_TASKS)
    .default(200)
    .describe("Tasks in one answer at most. 200 tasks take a Worker about 7 ms of CPU time."),
  bom: flag()
    .default(false)
    .describe("true: CSV begins with a byte order mark, so that Excel recognises its encoding."),
  cursor: pageQuery.cursor,
});

/** Cuts a list into pages that the database can answer, and no more pages than one call may ask. */
function pagesOf<T extends { values: (string | number | null)[] }>(rows: T[]): T[][] {
  const pages: T[][] = [];
  let bytes = 0;
  for (const row of rows) {
    const page = pages.at(-1);
    const size = Number(row.values[0]);
    bytes += size;
    if (page && page.length < PAGE_TASKS && bytes <= PAGE_BYTES) page.push(row);
    else {
      if (pages.length === MOST_PAGES) break;
      pages.push([row]);
      bytes = size;
    }
  }
  return pages;
}

/**
 * The pieces of an export. A page comes from the database as one JSON text, which costs a Worker a
 * fraction of what the driver's value for each cell does.
 */
async function* writePages(
  db: Db,
  base: SQL | undefined,
  pages: number[][],
  columns: ExportColumn[],
  writer: Writer,
) {
  const groups: SQL[] = [];
  for (let at = 0; at < columns.length; at += ARGUMENTS)
    groups.push(
      sql`json_array(${sql.join(columns.slice(at, at + ARGUMENTS).map(jsonArgument), sql`, `)})`,
    );
  yield writer.begin();
  for (const ids of pages) {
    const [found] = await db.all<{ rows: string }>(sql`
      select json_group_array(json_array(training_task.id, ${sql.join(groups, sql`, `)})) as rows
      from training_task left join task_config on task_config.task_id = training_task.id
      where ${and(base, sql`training_task.id in (select value from json_each(${JSON.stringify(ids)}))`)}`);
    const rows: [number, ...Cell[][]][] = JSON.parse(found?.rows ?? "[]");
    const byId = new Map(rows.map(([id, ...cells]) => [id, [cells.flat()]]));
    yield writer.rows(ids.flatMap((id) => byId.get(id) ?? []));
  }
  yield writer.end();
}

export const taskExport = new Hono<App>().get(
  "/export",
  describe({
    summary: "Export tasks",
    description:
      "Streams tasks as CSV for spreadsheets, JSON Lines or Parquet. `X-Next-Cursor` is present when more tasks follow: repeat the call with its value as `cursor` (CSV repeats its header line, Parquet is another file).",
    tag: "Tasks",
    answer: {
      description: "The tasks.",
      content: "text/csv",
      also: ["application/jsonl", "application/vnd.apache.parquet"],
    },
    errors: { 422: "A parameter is not valid." },
  }),
  allow("tasks:read"),
  validate("query", exportQuery),
  async (c) => {
    const { format, columns: wanted, limit, cursor, bom, ...choice } = c.req.valid("query");
    const { auth, db } = c.var;
    const columns = exportColumns(wanted, format);
    const chosen = chooseTasks(auth, choice);
    const list = await choiceName("export", choice);
    const place = placeOf(list, cursor, chosen.order);
    // Which tasks, in which order and how large, is asked first: so the end is known before the
    // answer begins, and the pages are found by their ids.
    const { rows, resumeAt } = await listTasks(
      db,
      {},
      { chosen, place, limit, fields: [rowSize(columns)] },
    );
    const pages = pagesOf(rows.slice(0, limit));
    const last = pages.at(-1)?.at(-1);
    const given = pages.reduce((sum, page) => sum + page.length, 0);
    const next = last && given < rows.length ? last.place : resumeAt;
    const { type, writer } = formats[format];
    if (next) {
      const url = new URL(c.req.url);
      url.searchParams.set("cursor", encodeCursor(list, next));
      c.header("X-Next-Cursor", url.searchParams.get("cursor") ?? "");
      c.header("Link", `<${url.pathname}${url.search}>; rel="next"`);
    }
    const ids = pages.map((page) => page.map(({ id }) => id));
    const pieces = writePages(db, chosen.live, ids, columns, writer(columns, bom));
    return c.body(streamOf(pieces), 200, {
      "Content-Type": type,
      "Content-Disposition": `attachment; filename="tasks.${format}"`,
    });
  },
);
