/*
 * Alerts of Trackio's client: the run keeps the newest, each once by its id, and its page shows them where a
 * console's end is shown.
 */
import { sql } from "drizzle-orm";
import type * as z from "zod";
import type { Db } from "../../platform/db/client.ts";
import type { JsonValue } from "../../shared/json.ts";
import { stepOf } from "../points.ts";
import { plainText } from "../runs.ts";
import type { alertCall } from "./form.ts";

/** Alerts that a run keeps. */
const MOST_ALERTS = 100;

export type Alert = {
  id: string;
  title: string;
  text: string;
  level: string;
  step: number | null;
  timestamp: string | null;
};

/** The record that Trackio's client keeps of a run, by the task. */
async function recordOf(db: Db, taskId: number): Promise<Record<string, JsonValue>> {
  const [row] = await db.all<{ record: string }>(
    sql`select record from tracker_run where task_id = ${taskId} and tracker = 'trackio'`,
  );
  return row ? JSON.parse(row.record) : {};
}

/** The alerts of such a record. */
export const alertsOf = (record: Record<string, JsonValue>): Alert[] =>
  // This file alone writes them.
  (record.alerts ?? []) as Alert[];

const lineOf = ({ level, step, title, text }: Alert) =>
  `[${level}]${step === null ? "" : ` step ${step}:`} ${title}${text ? `: ${text}` : ""}`;

/** Adds alerts to those of the run; gives all of them as lines of text. */
export async function keepAlerts(
  { db }: { db: Db },
  taskId: number,
  sent: z.infer<typeof alertCall>["alerts"],
): Promise<string> {
  const before = alertsOf(await recordOf(db, taskId));
  const ids = new Set(before.map(({ id }) => id));
  const news = sent
    .map(
      ({ title, text, level, step, timestamp, alert_id }): Alert => ({
        id: alert_id ?? JSON.stringify([title, text, step, timestamp]).slice(0, 200),
        title: plainText(title, 300),
        text: plainText(text ?? "", 2000),
        level: plainText(level ?? "info", 20),
        step: typeof step === "number" ? stepOf(step) : null,
        timestamp: timestamp ?? null,
      }),
    )
    .filter(({ id }) => !ids.has(id));
  const alerts = [...before, ...news].slice(-MOST_ALERTS);
  if (news.length)
    await db.run(sql`
      update tracker_run set record = json_set(record, '$.alerts', json(${JSON.stringify(alerts)}))
      where task_id = ${taskId} and tracker = 'trackio'`);
  return alerts.map(lineOf).join("\n");
}

/** The last step that a run's points have reached; 0 before the first. */
export async function lastStepOf(db: Db, taskId: number): Promise<number> {
  const [row] = await db.all<{ step: number | null }>(sql`
    select last_step as step from task_attempt where task_id = ${taskId} order by attempt desc limit 1`);
  return row?.step ?? 0;
}
