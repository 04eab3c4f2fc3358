import { sql } from "drizzle-orm";
import type { Db } from "./client.ts";
import type { Cost } from "./cost.ts";
import { usageDay } from "./schema.ts";

/** What this isolate has counted since it last wrote it down. */
let counted = { requests: 0, read: 0, written: 0 };
let writtenAt = 0;

const WRITE_EVERY_MS = 60_000;

/** Without cost reporting the rows of one request in so many are counted, for all of them. */
export const ONE_OF = 20;

/**
 * The number of requests that a request's rows count for; 0: they are not counted. Counting takes a second look
 * at each of the database's answers, for which a free plan's CPU time is too short at each request.
 */
export const sampleRequests = (everyRequest: boolean): number =>
  everyRequest ? 1 : Math.random() < 1 / ONE_OF ? ONE_OF : 0;

/**
 * Counts a request towards its day, in memory; once a minute an isolate adds what it counted to the
 * day's row, after an answer has gone out. What an isolate counted last may be lost with it, so the
 * figures are a little low. Its rows count for `times` requests.
 */
export function countUsage(
  db: Db,
  cost: Cost,
  times: number,
  later: (work: Promise<unknown>) => void,
) {
  counted.requests++;
  counted.read += cost.read * times;
  counted.written += cost.written * times;
  const since = Date.now() - writtenAt;
  // Below zero the clock was set back: waiting until it is there again would write nothing for long.
  if (since >= 0 && since < WRITE_EVERY_MS) return;
  const { requests, read, written } = counted;
  counted = { requests: 0, read: 0, written: 0 };
  writtenAt = Date.now();
  later(
    addUsage(db, requests, read, written).catch(() => {
      // The database may be away just now: what was counted is written with what comes.
      counted.requests += requests;
      counted.read += read;
      counted.written += written;
    }),
  );
}

const addUsage = (db: Db, requests: number, rowsRead: number, rowsWritten: number) =>
  db
    .insert(usageDay)
    .values({ day: sql`date('now')`, requests, rowsRead, rowsWritten })
    .onConflictDoUpdate({
      target: usageDay.day,
      set: {
        requests: sql`requests + excluded.requests`,
        rowsRead: sql`rows_read + excluded.rows_read`,
        rowsWritten: sql`rows_written + excluded.rows_written`,
      },
    });
