import { type SQL, sql } from "drizzle-orm";
import { now } from "../db/time.ts";
import type { Auth } from "../http/caller.ts";

/** How many keys may follow one another, each made by the one before; the first included. */
export const MOST_GENERATIONS = 10;

/** The key `m` and the keys that it came from, nearest first. */
const line = sql`
  with recursive line (parent_id, revoked_at, nth) as (
    select m.parent_id, m.revoked_at, 1
    union all
    select p.parent_id, p.revoked_at, nth + 1 from line join api_key p on p.id = line.parent_id
    where nth < ${MOST_GENERATIONS})`;

/** How many keys the line of the key `m` has, itself included. */
export const generation = sql`(${line} select count(*) from line)`;

/** Condition that the key `m` of the user `u` works at this moment, as do all keys that it came from. */
export const works = sql`(m.revoked_at is null and (m.expires_at is null or m.expires_at > ${now}) and u.active
  and not exists (${line} select 1 from line where revoked_at is not null))`;

/**
 * Condition that the caller's key `m` of the user `u` may make another at this moment: what was read of
 * it up to 30 seconds ago does not count.
 */
export const mayMake = ({ role, session }: Pick<Auth, "role" | "session">) =>
  sql`${works} and u.role = ${role} and ${generation} < ${MOST_GENERATIONS} and ${
    session === null
      ? sql`true`
      : sql`exists (select 1 from session s where s.id = ${session.id} and s.ended_at is null and s.ends_at > ${now})`
  }`;

/** The earlier of two ends; null: no end. */
export const soonerOf = (one: SQL, other: SQL) =>
  sql`coalesce(min(${one}, ${other}), ${one}, ${other})`;

/** Ids of the keys that a key made, of those that these made, and so on; `key` is its id. */
export const descendants = (key: SQL, most?: number) => sql`(
  with recursive made (id) as (
    select k.id from api_key k where k.parent_id = ${key}
    union
    select k.id from made join api_key k on k.parent_id = made.id
    ${most === undefined ? sql`` : sql`limit ${most}`})
  select id from made)`;
