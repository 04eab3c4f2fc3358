import { sql } from "drizzle-orm";
import { apiKey, box } from "../platform/db/schema.ts";

/** When a box was last heard of, of `box` joined to its key: to about five minutes while it has no task. */
export const lastSeen = sql<string>`max(${box.enrolledAt}, coalesce(${box.claimedAt}, ''), coalesce(${apiKey.lastUsedAt}, ''),
  coalesce((select t.heartbeat_at from training_task t where t.id = ${box.claimedTask} and t.key_id = ${box.keyId}), ''))`;
