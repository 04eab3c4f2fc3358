import { createClient } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import type { Config } from "../env.ts";
import { type Cost, countCost } from "./cost.ts";

/** The database did not answer; the caller may try again. */
export class DatabaseUnreachable extends Error {}

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
    let response: Response;
    try {
      response = await fetch(request);
    } catch (cause) {
      throw new DatabaseUnreachable("the database cannot be reached", { cause });
    }
    if (response.status >= 500 || response.status === 429)
      throw new DatabaseUnreachable(`the database answered ${response.status}`);
    return response;
  };
  const client = createClient({
    url: config.DATABASE_URL,
    authToken: config.DATABASE_AUTH_TOKEN,
    fetch: cost ? countCost(reach, cost) : reach,
  });
  return drizzle(client, { casing: "snake_case" });
}
