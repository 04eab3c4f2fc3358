import { type SQL, sql } from "drizzle-orm";
import type { Statement } from "../db/batch.ts";
import type { Db } from "../db/client.ts";
import type { trainingTask } from "../db/schema.ts";
import { notValid } from "../http/validate.ts";

/** Letters of scripts that put no space between words. */
const unspaced =
  /[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Hangul}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}]/gu;

/**
 * Text as the index takes it: full-width forms as usual ones, and a space around each character of
 * the scripts above. Each becomes a word of its own, and a word of two characters a phrase of two.
 */
export const spaceOut = (text: string) =>
  text
    .normalize("NFKC")
    .replace(unspaced, " $& ")
    .replace(/["\\\p{Cc}]/gu, " ");

/** Tags for the index, under their own names, so that json_patch() merges them as it does tags. */
const spaceOutTags = (tags: Record<string, string | null>) =>
  JSON.stringify(
    Object.fromEntries(
      Object.entries(tags).map(([name, value]) => [
        name,
        value === null ? null : spaceOut(`${name} ${value}`),
      ]),
    ),
  );

/** The columns that full text finds: names, notes, tags and prompts. `tagsPatch` is merged with the tags. */
export type Searched = Partial<
  Pick<
    typeof trainingTask.$inferInsert,
    "taskName" | "experimentGroup" | "notes" | "samplePrompts" | "tags"
  > & { tagsPatch: Record<string, string | null> }
>;

/** The index's columns and values for the columns of a task that are given. */
function indexColumns({
  taskName,
  experimentGroup,
  notes,
  samplePrompts,
  tags,
  tagsPatch,
}: Searched) {
  const texts = {
    task_name: taskName,
    experiment_group: experimentGroup,
    notes,
    sample_prompts: samplePrompts,
  };
  const columns = Object.entries(texts).flatMap(([name, text]) =>
    text === undefined
      ? []
      : [{ name: sql.identifier(name), value: sql`${text === null ? null : spaceOut(text)}` }],
  );
  const name = sql.identifier("tags");
  if (tags !== undefined) columns.push({ name, value: sql`${tags && spaceOutTags(tags)}` });
  if (tagsPatch)
    columns.push({
      name,
      value: sql`json_patch(coalesce(tags, '{}'), ${spaceOutTags(tagsPatch)})`,
    });
  return columns;
}

/**
 * A statement that indexes a new task where the statement right before `inserted` it: only there is
 * last_insert_rowid() the task's.
 */
export function indexInserted(db: Db, row: Searched, inserted: SQL): Statement {
  const columns = indexColumns(row);
  const names = columns.map(({ name }) => sql`${name}`);
  const values = columns.map(({ value }) => value);
  return db.run(sql`
    insert into task_text (rowid, ${sql.join(names, sql`, `)})
    select last_insert_rowid(), ${sql.join(values, sql`, `)} where ${inserted}`);
}

/** Whether a change touches a column that full text finds. */
export const isSearched = (row: Searched): boolean => indexColumns(row).length > 0;

/** A statement that brings the index up to date with a change, which isSearched(), of the tasks under `where`. */
export function reindexTasks(db: Db, where: SQL, row: Searched): Statement {
  const sets = indexColumns(row).map(({ name, value }) => sql`${name} = ${value}`);
  return db.run(sql`update task_text set ${sql.join(sets, sql`, `)} where ${where}`);
}

/**
 * A person's words as a query of the index: a text must have every word, a Latin word of two letters or
 * more may be the beginning of a longer one, and words in "quotes" must follow each other as they are.
 * Nothing of FTS5's own language gets through: a phrase has letters and digits only. Throws ApiError 422
 * if there is no word.
 */
export function toMatchQuery(q: string): string {
  const phrases = [...q.matchAll(/"([^"]*)"|[^\s"]+/g)].flatMap(([typed, quoted]) => {
    const words = spaceOut(quoted ?? typed).match(/[\p{L}\p{N}\p{M}\p{Co}]+/gu) ?? [];
    if (!words.some((word) => /[\p{L}\p{N}\p{Co}]/u.test(word))) return [];
    const last = words.at(-1) ?? "";
    const goesOn = quoted === undefined && last.length > 1 && !last.match(unspaced);
    return [`"${words.join(" ")}"${goesOn ? " *" : ""}`];
  });
  if (phrases.length === 0)
    throw notValid([{ path: "q", message: "holds no letter or digit to look for" }]);
  return phrases.join(" AND ");
}
