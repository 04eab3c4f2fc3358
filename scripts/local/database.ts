import { createClient } from "@libsql/client/http";
import { drizzle } from "drizzle-orm/libsql/http";
import type { Db } from "../../src/platform/db/client.ts";

export type DatabaseAddress = { url: string; authToken?: string };

/** The database for one command, over HTTP as the Worker has it. */
export const openDatabase = ({ url, authToken }: DatabaseAddress): Db =>
  drizzle(createClient({ url, authToken }), { casing: "snake_case" });
