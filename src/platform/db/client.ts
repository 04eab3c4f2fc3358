import { createClient } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import type { Config } from "../../env.ts";
import { type Cost, countCost } from "./cost.ts";
import { noteReach } from "./outage.ts";

/** The database did not answer; the caller may try again. */
export class DatabaseUnreachable extends Error {}

/** After how long a database that does not answer counts as away. */
const ANSWER_MS = 15_000;
/** How often a call is sent that others' writes kept from its turn. */
const BUSY_TRIES = 4;

/**
 * Whether the server gave up waiting for its write lock: then nothing of the call has happened,
 * since every call is one statement or one transaction, and it can be sent again. Within the data
 * of an answer these quotes would be escaped.
 */
async function isBusy(response: Response): Promise<boolean> {
  const length = Number(response.headers.get("Content-Length") ?? Number.POSITIVE_INFINITY);
  return length < 16_384 && (await response.clone().text()).includes('"code":"SQLITE_BUSY');
}

export type Db = ReturnType<typeof openDb>;

/**
 * Opens the database for one request. Never kept at module scope: the client's limiter would run
 * one request's I/O in another's context, which workerd refuses.
 */
export function openDb(config: Config, cost?: Cost) {
  const reach = async (...args: Parameters<typeof fetch>) => {
    const request = new Request(...args);
    // Unpacking a large answer takes more of a Worker's CPU time than its bytes take of anything.
    request.headers.set("Accept-Encoding", "identity");
    for (let tries = 1; ; tries++) {
      let response: Response;
      let busy: boolean;
      try {
        response = await fetch(request.clone(), { signal: AbortSignal.timeout(ANSWER_MS) });
        // A connection can also be lost between an answer's head and its body.
        busy = await isBusy(response);
      } catch (cause) {
        noteReach(false);
        throw new DatabaseUnreachable("the database cannot be reached", { cause });
      }
      const answered = response.status < 500 && response.status !== 429;
      noteReach(answered);
      if (!answered) throw new DatabaseUnreachable(`the database answered ${response.status}`);
      if (!busy) return response;
      if (tries === BUSY_TRIES) throw new DatabaseUnreachable("the database is busy");
      await new Promise((done) => setTimeout(done, tries * (100 + Math.random() * 200)));
    }
  };
  const client = createClient({
    url: config.DATABASE_URL,
    authToken: config.DATABASE_AUTH_TOKEN,
    fetch: cost ? countCost(reach, cost) : reach,
  });
  return drizzle(client, { casing: "snake_case" });
}
