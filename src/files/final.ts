import type { SQL } from "drizzle-orm";
import type { Statement } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";

/**
 * Makes the statement that lets a run name its final file, or no longer `removed` (runs/states.ts).
 * Only the runs' wing writes runs, and it is above this one: app.ts gives it to the routes.
 */
export type PointAtFinal = (
  db: Db,
  taskId: SQL | number | null,
  removed?: string | null,
) => Statement;
