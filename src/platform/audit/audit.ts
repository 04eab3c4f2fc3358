import { is, SQL, sql } from "drizzle-orm";
import type { JsonValue } from "../../shared/json.ts";
import type { Statement } from "../db/batch.ts";
import type { Db } from "../db/client.ts";
import type { auditSubjects } from "../db/schema.ts";

/** Who acts: a caller (`c.var.auth` is one), the scheduled job, or the command line. */
export type Actor = { userId: number | null; keyId: number | null; address: string | null };

export const scheduledJob: Actor = { userId: null, keyId: null, address: "scheduled job" };

/** Somebody with access to the database itself, such as by `npm run key`, without a key. */
export const commandLine: Actor = { userId: null, keyId: null, address: "command line" };

/**
 * A statement that notes an action, for the batch of the change it is about. `rows` selects what
 * was changed as `id`, with the condition that it really was; noteChange() takes that condition from
 * the statement right before. `detail` says what was changed, in the wire's own names; never a secret.
 * As SQL it is JSON made of columns of `changed`, which are those that `rows` selects.
 */
export const audit = (
  db: Db,
  actor: Actor,
  action: `${(typeof auditSubjects)[number]}.${string}`,
  rows: SQL,
  detail?: JsonValue | SQL,
): Statement =>
  db.run(sql`
    insert into audit_entry (user_id, key_id, address, action, subject, subject_id, detail)
    select ${actor.userId}, ${actor.keyId}, ${actor.address}, ${action}, ${action.split(".")[0]}, changed.id,
      ${detail === undefined ? null : is(detail, SQL) ? detail : JSON.stringify(detail)}
    from (${rows}) as changed`);

const LONGEST = 300;

/** A body as `detail`: only the length of long values, since entries stay for good. */
export const briefly = (body: object): JsonValue =>
  Object.fromEntries(
    Object.entries(body).map(([name, value]) => {
      const text = JSON.stringify(value) ?? "null";
      return [name, text.length > LONGEST ? `(${text.length} characters)` : JSON.parse(text)];
    }),
  );

/** The name of the user who changed a row last; null: nobody did, or the scheduled job or the command line. */
export async function lastToChange(
  db: Db,
  subject: (typeof auditSubjects)[number],
  id: number,
): Promise<string | null> {
  const [row] = await db.all<{ name: string | null }>(sql`
    select u.name from audit_entry e left join user u on u.id = e.user_id
    where e.subject = ${subject} and e.subject_id = ${id} order by e.id desc limit 1`);
  return row?.name ?? null;
}
