import { sql } from "drizzle-orm";
import { box } from "../platform/db/schema.ts";

/**
 * Whether a box runs everyone's tasks rather than its owner's alone: an admin enrolled it so, and its
 * owner still is an active admin. Read each time, so that a role that was taken away counts at once.
 */
export const isShared = sql<number>`(${box.shared} and exists (
  select 1 from user o where o.id = ${box.userId} and o.role = 'admin' and o.active))`;
