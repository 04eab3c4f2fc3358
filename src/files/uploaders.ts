import { type SQL, sql } from "drizzle-orm";
import { trainingTask, weight } from "../platform/db/schema.ts";
import type { Auth } from "../platform/http/caller.ts";

/** The user whose key announced a file; null where that was not noted. */
export const uploadedBy = sql<
  number | null
>`(select k.user_id from api_key k where k.id = ${weight.keyId})`;

/**
 * Which files of the tasks that it reads a caller gets. A box loads the files that it resumes from,
 * and a training state may hold code: it gets the files that keys of its own user announced, and none
 * that a stranger's box, or the owner of a task on a shared box, put beside them.
 */
export const handedTo = (auth: Auth): SQL =>
  auth.box ? sql`${uploadedBy} = ${auth.userId}` : sql`true`;

/** Which uploads of the tasks that a caller reports on it may go on with: a box those of its attempts. */
export const uploadable = (auth: Auth): SQL =>
  auth.box
    ? sql`(${weight.keyId} = ${auth.keyId}
        or (${weight.attempt} = max(${trainingTask.attempt}, 1) and ${handedTo(auth)}))`
    : sql`true`;
