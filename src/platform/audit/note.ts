import { type SQL, sql } from "drizzle-orm";
import { ifChanged } from "../db/batch.ts";
import type { Db } from "../db/client.ts";
import { audit } from "./audit.ts";

type Rest = Parameters<typeof audit>;

/**
 * Notes in the audit what an actor did to the row `id` (a number, or an expression that finds it), if the
 * statement `after` of the chain changed a row.
 */
export const noteChange = (
  db: Db,
  actor: Rest[1],
  after: string,
  action: Rest[2],
  id: number | SQL,
  detail?: Rest[4],
) =>
  ifChanged(after, (changed) =>
    audit(db, actor, action, sql`select ${id} as id where ${changed}`, detail),
  );
