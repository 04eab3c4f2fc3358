/*
 * What a logged picture, video or sound says of itself. Its bytes come later, by calls that name no metric and
 * no caption, so that the run keeps these by the file's name until then.
 */
import { sql } from "drizzle-orm";
import type { Db } from "../../platform/db/client.ts";
import { nameOf } from "../points.ts";
import { plainText } from "../runs.ts";

/** By the file's name: the metric that it was logged as, and its caption. */
export type Caption = { file: string; metric: string; caption: string | null };

/** Captions that a run keeps: those of files under way. */
const MOST_CAPTIONS = 200;

/** The caption of a logged value, where it is of a file. */
export function captionOf(metric: string, value: unknown): Caption[] {
  if (!value || typeof value !== "object" || !("file_path" in value)) return [];
  const { file_path: path, caption } = value as Record<string, unknown>;
  const file = typeof path === "string" ? path.split("/").at(-1) : undefined;
  if (!file || file.length > 200) return [];
  return [
    {
      file,
      metric: nameOf(metric),
      caption: typeof caption === "string" && caption ? plainText(caption, 2000) : null,
    },
  ];
}

export async function captionsOf(db: Db, taskId: number): Promise<Caption[]> {
  const [row] = await db.all<{ captions: string | null }>(
    sql`select record ->> '$.captions' as captions from tracker_run where task_id = ${taskId} and tracker = 'trackio'`,
  );
  return row?.captions ? JSON.parse(row.captions) : [];
}

/** Adds captions to those that the run keeps. */
export async function keepCaptions(db: Db, taskId: number, news: Caption[]): Promise<void> {
  const files = new Set(news.map(({ file }) => file));
  const before = (await captionsOf(db, taskId)).filter(({ file }) => !files.has(file));
  const captions = [...before, ...news].slice(-MOST_CAPTIONS);
  await db.run(sql`
    update tracker_run set record = json_set(record, '$.captions', json(${JSON.stringify(captions)}))
    where task_id = ${taskId} and tracker = 'trackio'`);
}
