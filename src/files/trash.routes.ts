import { sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import type { App } from "../platform/http/context.ts";
import { describe } from "../platform/http/validate.ts";

/** Files and runs in the trash that are looked at: the ones that go first. */
const MOST_FILES = 1000;
const MOST_RUNS = 200;

const dayAnswer = z.object({
  goes_on: z.string().describe("The day (UTC) on which these are purged at the earliest."),
  runs: z.int(),
  files: z.int().describe("Those of these runs, and those deleted by themselves."),
  bytes: z.int().describe("Of these files; what another run shares stays in the bucket."),
});

type Day = z.infer<typeof dayAnswer>;

export const storageTrash = new Hono<App>().get(
  "/",
  describe({
    summary: "What lies in the trash, and when it goes",
    description: `By the day it is purged on, TRASH_DAYS after it was deleted; what something still refers to stays longer. Of the ${MOST_RUNS} runs and ${MOST_FILES} files that go first.`,
    tag: "Storage",
    answer: {
      schema: z.object({
        trash_days: z.number(),
        days: z.array(dayAnswer).describe("The next first."),
        complete: z.boolean().describe("false: there is more in the trash than was looked at."),
      }),
      description: "The trash.",
    },
  }),
  allow("weights:read"),
  async (c) => {
    const { db, config } = c.var;
    const goes = (since: string) => sql`date(julianday(${sql.raw(since)}) + ${config.TRASH_DAYS})`;
    // As the index training_task_purge has it.
    const since = "case when trash_since > deleted_at then trash_since else deleted_at end";
    const runs = sql`select id, ${sql.raw(since)} as since from training_task
      where deleted_at is not null order by ${sql.raw(since)} limit ${MOST_RUNS}`;
    const [ofRuns, ofTheirs, single] = await db.batch([
      db.all<{ day: string; n: number }>(sql`
        select ${goes("r.since")} as day, count(*) as n from (${runs}) r group by day`),
      db.all<{ day: string; n: number; bytes: number }>(sql`
        select day, count(*) as n, sum(size) as bytes from (
          select ${goes("r.since")} as day, w.size from (${runs}) r cross join weight w on w.task_id = r.id
          where w.state = 'complete' and w.deleted_at is null limit ${MOST_FILES})
        group by day`),
      db.all<{ day: string; n: number; bytes: number }>(sql`
        select ${goes("w.deleted_at")} as day, count(*) as n, sum(w.size) as bytes from (
          select deleted_at, size from weight where deleted_at is not null and state = 'complete'
          order by deleted_at limit ${MOST_FILES}) w
        group by day`),
    ]);
    const days = new Map<string, Day>();
    const at = (day: string) => {
      const known = days.get(day) ?? { goes_on: day, runs: 0, files: 0, bytes: 0 };
      days.set(day, known);
      return known;
    };
    for (const { day, n } of ofRuns) at(day).runs += n;
    for (const { day, n, bytes } of [...ofTheirs, ...single]) {
      at(day).files += n;
      at(day).bytes += bytes;
    }
    const count = (rows: { n: number }[]) => rows.reduce((sum, { n }) => sum + n, 0);
    return c.json({
      trash_days: config.TRASH_DAYS,
      days: [...days.values()].sort((a, b) => a.goes_on.localeCompare(b.goes_on)),
      complete:
        count(ofRuns) < MOST_RUNS && count(ofTheirs) < MOST_FILES && count(single) < MOST_FILES,
    });
  },
);
