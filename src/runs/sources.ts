import { type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import type { Db } from "../platform/db/client.ts";
import { runFields } from "../shared/run-fields.ts";
import type { Origin } from "../trainers/dialect.ts";

/**
 * Where columns were read from, as `task_config.sources` keeps it: by kind, each column with its key or
 * name. The trainer's defaults are not among them: `defaulted_fields` has these.
 */
export type StoredSources = {
  file?: Record<string, string>;
  argument?: Record<string, string>;
  launcher?: Record<string, string>;
};

export type FieldSources = { [column: string]: Origin };

export const sourcesAnswer = z
  .record(
    z.string(),
    z.union([
      z.object({
        from: z.literal("file"),
        key: z.string().describe("Of the separate dataset file: behind `dataset_file.`."),
      }),
      z.object({ from: z.literal("argument"), name: z.string() }),
      z.object({
        from: z.literal("launcher"),
        name: z.string().describe("Of what starts the script, such as `accelerate launch`."),
      }),
      z.object({ from: z.literal("default") }),
    ]),
  )
  .describe(
    "Where each column was read from: a key of the file, an argument of the command, an option of its launcher, or the trainer's default. A column that is not here was stated by whoever registered or changed the run, or is empty.",
  );

/** What is stored of a recognition's sources; null where there is nothing but defaults. */
export function packSources(sources: FieldSources): StoredSources | null {
  const packed: StoredSources = {};
  for (const [column, origin] of Object.entries(sources)) {
    if (origin.from === "default") continue;
    const group = packed[origin.from] ?? {};
    group[column] = origin.from === "file" ? origin.key : origin.name;
    packed[origin.from] = group;
  }
  return Object.keys(packed).length > 0 ? packed : null;
}

/** The answer's form of what is stored, with the defaults. */
export function unpackSources(
  stored: StoredSources | null,
  defaulted: readonly string[] | null,
): FieldSources {
  const entries: [string, Origin][] = [
    ...Object.entries(stored?.file ?? {}).map(([column, key]): [string, Origin] => [
      column,
      { from: "file", key },
    ]),
    ...(["argument", "launcher"] as const).flatMap((from) =>
      Object.entries(stored?.[from] ?? {}).map(([column, name]): [string, Origin] => [
        column,
        { from, name },
      ]),
    ),
    ...(defaulted ?? []).map((column): [string, Origin] => [column, { from: "default" }]),
  ];
  return Object.fromEntries(entries);
}

/** The columns of a change that a trainer's file may have filled. */
export const readColumnsOf = (change: object): string[] =>
  Object.keys(change).filter(
    (name) => name in runFields && runFields[name as keyof typeof runFields].by === "trainer",
  );

/** Forgets where columns of runs were read from: a person states them now. */
export const forgetSources = (db: Db, tasks: SQL, columns: readonly string[]) =>
  db.run(sql`
    update task_config set sources = json_remove(sources, ${sql.join(
      columns.flatMap((column) =>
        ["file", "argument", "launcher"].map((from) => sql`${`$.${from}.${column}`}`),
      ),
      sql`, `,
    )}) where sources is not null and task_id in (${tasks})`);

/** `defaulted_fields` without those columns. */
export const withoutDefaults = (columns: readonly string[]): SQL => sql`(
  select nullif(json_group_array(value), '[]') from json_each(training_task.defaulted_fields)
  where value not in (${sql.join(
    columns.map((column) => sql`${column}`),
    sql`, `,
  )}))`;
