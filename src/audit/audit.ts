import { type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import type { App } from "../auth/middleware.ts";
import type { Statement } from "../db/batch.ts";
import type { Db } from "../db/client.ts";
import type { auditSubjects, JsonValue } from "../db/schema.ts";

/** Who acts: a caller, or the scheduled job where all three are null. */
export type Actor = { userId: number | null; keyId: number | null; address: string | null };

export const scheduledJob: Actor = { userId: null, keyId: null, address: null };

/** The caller of a request, and the address that the platform says the request came from. */
export const actorOf = (c: Context<App>): Actor => ({
  userId: c.var.auth.userId,
  keyId: c.var.auth.keyId,
  address: c.req.header("CF-Connecting-IP") ?? null,
});

/**
 * A statement that notes an action, for the batch of the change it is about. `rows` selects what
 * was changed as `id`, with the condition that it really was: behind the change itself that is
 * `changes() = 1`, which holds again for the statement behind this one. `detail` says what was
 * changed, in the wire's own names; never a secret.
 */
export const audit = (
  db: Db,
  actor: Actor,
  action: `${(typeof auditSubjects)[number]}.${string}`,
  rows: SQL,
  detail?: JsonValue,
): Statement =>
  db.run(sql`
    insert into audit_entry (user_id, key_id, address, action, subject, subject_id, detail)
    select ${actor.userId}, ${actor.keyId}, ${actor.address}, ${action}, ${action.split(".")[0]}, changed.id,
      ${detail === undefined ? null : JSON.stringify(detail)}
    from (${rows}) as changed`);
