import { and, eq } from "drizzle-orm";
import type { Db } from "../platform/db/client.ts";
import { mirrorRun } from "../platform/db/schema.ts";

/**
 * Lets mirrors look again at a run that they have written, or that they have not seen begin: for the batch in
 * which it ends, or in which points that came after its end are counted. Reads a row for each mirror of it.
 */
export const reopenMirrored = (db: Db, taskId: number) =>
  db
    .update(mirrorRun)
    .set({ state: "open", nextAt: null })
    .where(and(eq(mirrorRun.taskId, taskId), eq(mirrorRun.state, "done")));
