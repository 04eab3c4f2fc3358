import { type SQL, sql } from "drizzle-orm";
import { chain } from "./db/batch.ts";
import { DatabaseUnreachable, type Db } from "./db/client.ts";
import { jobFault } from "./db/schema.ts";
import { fromNow, now } from "./db/time.ts";
import { recordEvent } from "./events.ts";

/** Items of one job that are set aside at most; beyond, a job works on everything again. */
const MOST_FAULTS = 1000;
/** Calls that one job may spend on finding broken items a minute; the next minute continues. */
const MOST_SPLITS = 24;

const isOutage = (error: unknown): boolean =>
  error instanceof DatabaseUnreachable || (error instanceof Error && isOutage(error.cause));

/** The name of an error's kind. Its message may quote what a user sent. */
const nameOf = (error: unknown) => (error instanceof Error ? error.name : "Error");

type Known = { id: number; failures: number; due: boolean };

/**
 * Keeps one broken row from stopping a scheduled job for everyone else: items that fail are set aside
 * for 5 minutes, twice as long each time, a day at most, and admins get one alert a job and hour.
 */
export type JobFaults = ReturnType<typeof faultsOf>;

/** The items that every job has set aside: one round trip for a run of the schedule. */
export async function readFaults(db: Db) {
  const rows = await db
    .select({
      job: jobFault.job,
      id: jobFault.subjectId,
      failures: jobFault.failures,
      due: sql<boolean>`retry_at <= ${now}`.mapWith(Boolean),
    })
    .from(jobFault)
    .limit(MOST_FAULTS);
  const byJob = Map.groupBy(rows, ({ job }) => job);
  return (job: string) => faultsOf(db, job, byJob.get(job) ?? []);
}

/** The faults of one job. */
export function faultsOf(db: Db, job: string, known: Known[] = []) {
  const aside = JSON.stringify(known.filter(({ due }) => !due).map(({ id }) => id));

  /** Sets an item aside and alerts admins. Throws what the database throws. */
  async function note(id: number, error: unknown) {
    console.error("scheduled job left something out", job, id, nameOf(error));
    await chain(db, {
      noted: db.run(sql`
        insert into job_fault (job, subject_id, failures, error, retry_at)
        values (${job}, ${id}, 1, ${nameOf(error)}, ${fromNow(5, "minutes")})
        on conflict do update set failures = failures + 1, error = excluded.error,
          retry_at = ${fromNow(sql`min(1440, 5 << min(failures, 9))`, "minutes")}`),
      event: recordEvent(
        db,
        "job_failed",
        "job",
        sql`select 0, 0, null, null, ${job},
          json_object('failed', count(*), 'example', ${id}, 'error_message', ${nameOf(error)}, 'since', min(created_at)),
          ${job} || strftime(' %Y-%m-%dT%H','now')
          from job_fault where job = ${job}`,
      ),
    });
  }

  /** Forgets items that worked again. */
  async function settled(ids: number[]) {
    const again = ids.filter((id) => known.some((fault) => fault.id === id));
    if (again.length)
      await db.run(sql`
        delete from job_fault where job = ${job}
          and subject_id in (select value from json_each(${JSON.stringify(again)}))`);
  }

  return {
    /** The condition that an item is not set aside. Reads no row. */
    sound: (id: SQL): SQL =>
      aside === "[]" ? sql`true` : sql`${id} not in (select value from json_each(${aside}))`,
    /** Runs work that is about no item in particular; what it throws is noted as the job's own fault. */
    async whole(work: () => Promise<unknown>) {
      try {
        await work();
      } catch (error) {
        if (isOutage(error)) throw error;
        return note(0, error);
      }
      await settled([0]);
    },
    /**
     * Works on items together; where that fails, on ever smaller parts of them, until what is broken
     * is found and set aside. An outage of the database is nobody's fault: it is thrown.
     */
    async each(ids: number[], work: (ids: number[]) => Promise<unknown>) {
      let splits = 0;
      const attempt = async (part: number[]): Promise<void> => {
        if (part.length === 0) return;
        try {
          await work(part);
        } catch (error) {
          if (isOutage(error)) throw error;
          const [id] = part;
          if (part.length === 1 && id !== undefined) return note(id, error);
          splits += 2;
          if (splits > MOST_SPLITS) return;
          const half = Math.ceil(part.length / 2);
          await attempt(part.slice(0, half));
          await attempt(part.slice(half));
          return;
        }
        await settled(part);
      };
      await attempt(ids);
    },
  };
}
