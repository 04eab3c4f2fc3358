import { sql } from "drizzle-orm";
import { base64url } from "jose";
import { effectiveScopes, type Role } from "../../shared/scopes.ts";
import { type Actor, audit } from "../audit/audit.ts";
import { noteChange } from "../audit/note.ts";
import { chain, ifChanged } from "../db/batch.ts";
import type { Db } from "../db/client.ts";
import { session, signInLink } from "../db/schema.ts";
import { fromNow, now } from "../db/time.ts";
import { sha256Hex } from "../http/hash.ts";
import { unauthorized } from "./keys.ts";
import { works } from "./makers.ts";

/** Minutes that a link is good for: it is clicked where it was just made. */
export const LINK_MINUTES = 10;

/** Minutes that a link for somebody else is good for at most: a week, until it is read. */
export const MOST_LINK_MINUTES = 7 * 24 * 60;

/** The link for a browser. What is behind the # reaches no server and no log. */
export const signInUrl = (url: string, code: string) => `${url}/sign-in#code=${code}`;

const newCode = () => base64url.encode(crypto.getRandomValues(new Uint8Array(32)));

/**
 * Makes a code that signs a browser in with a key, once and within minutes, without showing the key. Box keys
 * sign nobody in.
 */
export async function makeSignInCode(db: Db, actor: Actor, keyId: number): Promise<string> {
  const code = newCode();
  await chain(db, {
    expired: db.delete(signInLink).where(sql`expires_at < ${now}`),
    inserted: db.insert(signInLink).values({
      codeHash: await sha256Hex(code),
      keyId,
      // The database counts from its own time, as it will when it is asked.
      expiresAt: fromNow(LINK_MINUTES, "minutes"),
    }),
    noted: audit(db, actor, "key.sign-in-link", sql`select ${keyId} as id`),
  });
  return code;
}

/**
 * Makes a code for a key that is the actor's own key or was made by it, so that the code gives no right that the
 * actor lacks. It ends the key's earlier codes that nobody has used. Null where no such key works or it is a box's.
 */
export async function makeSignInCodeFor(
  db: Db,
  actor: Actor & { keyId: number },
  keyId: number,
  minutes: number,
): Promise<{ code: string; expiresAt: string } | null> {
  const code = newCode();
  const fit = sql`from api_key m join user u on u.id = m.user_id
    where m.id = ${keyId} and ${works} and (m.id = ${actor.keyId} or m.parent_id = ${actor.keyId})
      and m.scopes not like '%"box"%'`;
  const {
    made: [made],
  } = await chain(db, {
    ended: db
      .delete(signInLink)
      .where(
        sql`expires_at < ${now} or (key_id = ${keyId} and used_at is null and exists (select 1 ${fit}))`,
      ),
    made: db.all<{ expiresAt: string }>(sql`
      insert into sign_in_link (code_hash, key_id, expires_at)
      select ${await sha256Hex(code)}, m.id, ${fromNow(minutes, "minutes")} ${fit}
      returning expires_at as expiresAt`),
    noted: noteChange(db, actor, "made", "key.sign-in-link", keyId),
  });
  return made ? { code, expiresAt: made.expiresAt } : null;
}

/**
 * Uses up a code for a session of its key, which ends with the key or after so many days. Throws ApiError
 * 401 where the code is unknown, used or too old, or its key is worth nothing any more.
 */
export async function redeemSignInCode(
  db: Db,
  code: string,
  { address, days }: { address: string | null; days: number },
) {
  const codeHash = await sha256Hex(code);
  const id = crypto.randomUUID();
  const made = sql`(select key_id from session where id = ${id})`;
  const { holders } = await chain(db, {
    used: db
      .update(signInLink)
      .set({ usedAt: now })
      .where(
        sql`code_hash = ${codeHash} and used_at is null and expires_at > ${now}
          and exists (select 1 from api_key k join user u on u.id = k.user_id
            where k.id = key_id and k.revoked_at is null and u.active
              and coalesce(k.expires_at, '9') > ${now} and k.scopes not like '%"box"%')`,
      ),
    session: ifChanged("used", (used) =>
      db.run(sql`
      insert into session (id, key_id, ends_at)
      select ${id}, k.id, min(coalesce(k.expires_at, '9'),
        ${fromNow(days, "days")})
      from sign_in_link l join api_key k on k.id = l.key_id
      where l.code_hash = ${codeHash} and ${used}`),
    ),
    noted: db.run(sql`
      insert into audit_entry (user_id, key_id, address, action, subject, subject_id)
      select user_id, id, ${address}, 'key.sign-in', 'key', id from api_key where id = ${made}`),
    holders: db.all<{
      userId: number;
      name: string;
      role: Role;
      scopes: string;
      endsAt: string;
    }>(sql`
      select u.id as userId, u.name, u.role, k.scopes, s.ends_at as endsAt
      from session s join api_key k on k.id = s.key_id join user u on u.id = k.user_id
      where s.id = ${id}`),
    ended: db.delete(session).where(sql`key_id = ${made} and ends_at < ${now}`),
  });
  const [row] = holders;
  if (!row) throw unauthorized("link-not-valid", {});
  const { scopes, role, ...rest } = row;
  return { ...rest, id, scopes: [...effectiveScopes(role, JSON.parse(scopes))] };
}
