import { and, eq, getTableColumns, sql } from "drizzle-orm";
import { errors, jwtVerify, SignJWT } from "jose";
import * as z from "zod";
import type { Config } from "../../env.ts";
import type { ProblemCode, ProblemParams } from "../../shared/problems.ts";
import { effectiveScopes, type Role } from "../../shared/scopes.ts";
import { type Actor, audit } from "../audit/audit.ts";
import { noteChange } from "../audit/note.ts";
import { chain } from "../db/batch.ts";
import type { Db } from "../db/client.ts";
import { apiKey, session, user } from "../db/schema.ts";
import { ago, now } from "../db/time.ts";
import type { Auth, Caller } from "../http/caller.ts";
import { refuse } from "../http/problem.ts";
import { explainRoom, roomToMake } from "./bounds.ts";
import { descendants, generation, MOST_GENERATIONS, mayMake, soonerOf, works } from "./makers.ts";

const issuer = "lora-ledger";
/**
 * The purpose of a token: a key for programs, a session for the pages, and what SwanLab's client gets for its
 * key, for its calls and for the address of one file. None is accepted as another.
 */
export type Purpose = "api" | "session" | "swanlab" | "swanlab-file";

export type Secrets = { JWT_SECRET: string; JWT_SECRET_PREVIOUS?: string };

const bytes = (secret: string) => new TextEncoder().encode(secret);

/** A key as its holder gets it: a JWT (HS256). `expiresAt` null means that it does not expire. */
export function signKey(
  secrets: Secrets,
  key: { jti: string; userId: number; scopes: readonly string[]; expiresAt: Date | null },
  purpose: Purpose = "api",
): Promise<string> {
  const jwt = new SignJWT({ scope: key.scopes.join(" ") })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuer(issuer)
    .setAudience(purpose)
    .setSubject(String(key.userId))
    .setJti(key.jti)
    .setIssuedAt();
  if (key.expiresAt) jwt.setExpirationTime(key.expiresAt);
  return jwt.sign(bytes(secrets.JWT_SECRET));
}

const claimsSchema = z.object({
  sub: z.string().regex(/^\d+$/),
  jti: z.string().min(1).max(100),
  scope: z.string(),
  exp: z.number().optional(),
  iat: z.number().optional(),
});

/** A 401 that says how to sign in. */
export const unauthorized = <Code extends ProblemCode>(code: Code, params: ProblemParams<Code>) =>
  refuse(code, params, { headers: { "WWW-Authenticate": 'Bearer realm="lora-ledger"' } });

/** Checks signature, issuer, audience and expiry, without the database. Throws ApiError 401. */
export async function verifyToken(token: string, secrets: Secrets, purpose: Purpose) {
  const accepted = [secrets.JWT_SECRET, secrets.JWT_SECRET_PREVIOUS].filter((s) => s !== undefined);
  for (const secret of accepted) {
    try {
      const { payload } = await jwtVerify(token, bytes(secret), {
        algorithms: ["HS256"],
        issuer,
        audience: purpose,
      });
      return claimsSchema.parse(payload);
    } catch (error) {
      if (error instanceof errors.JWTExpired)
        throw unauthorized(purpose === "session" ? "session-expired" : "key-expired", {});
      if (error instanceof errors.JWSSignatureVerificationFailed) continue;
      break;
    }
  }
  throw purpose === "session"
    ? unauthorized("session-not-valid", {})
    : unauthorized("key-not-valid", {});
}

type KeyState = {
  userId: number;
  userName: string;
  keyId: number;
  role: Role;
  scopes: string[];
  keyExpiresAt: string | null;
  /** When a session ends for good; null for keys. */
  endsAt: string | null;
  live: boolean;
  /** Whether stored dialects may read this user's files. */
  hasDialects: boolean;
};
type Known = KeyState & { checkedAt: number };

const CHECK_EVERY_MS = 30_000;
const MOST_KNOWN = 10_000;
/** Plain data only: the last state of each key in the database. */
const known = new Map<string, Known>();

const remember = (jti: string, state: KeyState) => {
  known.delete(jti);
  known.set(jti, { ...state, checkedAt: Date.now() });
  for (const oldest of known.keys()) {
    if (known.size <= MOST_KNOWN) break;
    known.delete(oldest);
  }
};

/** Makes this isolate ask the database again; the others do within 30 seconds. */
export const forgetKeys = () => known.clear();

/** The columns of key and user that every check of a key or session reads. */
const stateColumns = {
  keyId: apiKey.id,
  scopes: apiKey.scopes,
  keyExpiresAt: apiKey.expiresAt,
  revokedAt: apiKey.revokedAt,
  userId: user.id,
  userName: user.name,
  role: user.role,
  active: user.active,
  hasDialects: sql`(exists (select 1 from dialect d where d.user_id = ${user.id})
    or exists (select 1 from dialect d where d.shared))`.mapWith(Boolean),
};

const readKey = async (db: Db, jti: string, userId: number) => {
  const [row] = await db
    .select(stateColumns)
    .from(apiKey)
    .innerJoin(user, eq(user.id, apiKey.userId))
    .where(and(eq(apiKey.jti, jti), eq(apiKey.userId, userId)));
  return row && { ...row, endsAt: null, ended: false };
};

const readSession = async (db: Db, id: string, userId: number) => {
  const [row] = await db
    .select({ ...stateColumns, endsAt: session.endsAt, endedAt: session.endedAt })
    .from(session)
    .innerJoin(apiKey, eq(apiKey.id, session.keyId))
    .innerJoin(user, eq(user.id, apiKey.userId))
    .where(and(eq(session.id, id), eq(apiKey.userId, userId)));
  if (!row) return undefined;
  const { endedAt, ...rest } = row;
  // A key that has expired takes its sessions along; one that was renewed does not.
  const past = (time: string | null) => time !== null && Date.parse(time) <= Date.now();
  return { ...rest, ended: endedAt !== null || past(rest.endsAt) || past(rest.keyExpiresAt) };
};

const purposes = {
  api: { what: "key", read: readKey },
  session: { what: "session", read: readSession },
  swanlab: { what: "key", read: readKey },
  "swanlab-file": { what: "key", read: readKey },
} as const;

/**
 * The caller that a key or a session's token belongs to. Between checks with the database, at most 30 seconds
 * apart, it costs no round trip. `later` runs work after the answer. Throws ApiError 401.
 */
export async function authenticate(
  db: Db,
  secrets: Secrets,
  token: string,
  later: (work: Promise<unknown>) => void,
  purpose: Purpose = "api",
): Promise<Caller> {
  const claims = await verifyToken(token, secrets, purpose);
  const { what, read } = purposes[purpose];
  const name = `${purpose} ${claims.jti}`;
  let state = known.get(name);
  if (!state || Date.now() - state.checkedAt >= CHECK_EVERY_MS) {
    const row = await read(db, claims.jti, Number(claims.sub));
    if (!row) throw unauthorized(`${what}-unknown`, {});
    const { revokedAt, active, ended, ...rest } = row;
    state = { ...rest, live: revokedAt === null && active && !ended, checkedAt: Date.now() };
    remember(name, state);
    if (state.live) later(noteUse(db, row.keyId));
  }
  if (!state.live)
    throw purpose === "session"
      ? unauthorized("session-ended", {})
      : unauthorized("key-revoked", { case: "ended" });
  const granted = state.scopes;
  const keyEnd = state.keyExpiresAt === null ? null : new Date(state.keyExpiresAt);
  return {
    userId: state.userId,
    userName: state.userName,
    keyId: state.keyId,
    role: state.role,
    hasDialects: state.hasDialects,
    scopes: effectiveScopes(state.role, granted),
    box: granted.includes("box"),
    expiresAt: purpose === "session" ? keyEnd : claims.exp ? new Date(claims.exp * 1000) : null,
    session:
      purpose === "session"
        ? { id: claims.jti, issuedAt: claims.iat ?? 0, endsAt: state.endsAt ?? "" }
        : null,
  };
}

/** Keeps `last_used_at` to five minutes; a failure to write it fails no request. */
async function noteUse(db: Db, keyId: number) {
  try {
    await db
      .update(apiKey)
      .set({ lastUsedAt: now })
      .where(
        and(eq(apiKey.id, keyId), sql`coalesce(${apiKey.lastUsedAt}, '') < ${ago(5, "minutes")}`),
      );
  } catch (error) {
    console.warn("last_used_at was not written", error instanceof Error ? error.name : "");
  }
}

/** Up to this number the keys that end with a key are counted. */
const MOST_CHILDREN = 1000;
// Columns of the outer table are named in full: a subquery would take its own of that name.
const shownColumns = {
  ...getTableColumns(apiKey),
  madeBy: sql<
    string | null
  >`(select u.name from api_key m join user u on u.id = m.user_id where m.id = api_key.parent_id)`,
  children: sql<number>`(select count(*) from api_key c where c.id in ${descendants(sql`api_key.id`, MOST_CHILDREN)}
    and c.revoked_at is null and (c.expires_at is null or c.expires_at > ${now}))`,
};

/** Keys as lists show them, with who made each and how many end with it. */
export const selectKeys = (db: Db) => db.select(shownColumns).from(apiKey);

/** The refusal of a key that was good for the last check, and is not any more, or makes no key. */
export async function refuseMaker(db: Db, { keyId, role }: Pick<Auth, "keyId" | "role">) {
  forgetKeys();
  const [seen] = await db.all<{ works: number; role: string; generation: number }>(sql`
    select ${works} as works, u.role, ${generation} as generation
    from api_key m join user u on u.id = m.user_id where m.id = ${keyId}`);
  if (seen?.works && seen.generation >= MOST_GENERATIONS)
    return refuse("too-many-makers", { generation: MOST_GENERATIONS });
  if (seen?.works && seen.role !== role) return refuse("conflict", { case: "role" });
  return unauthorized("key-revoked", { case: "making" });
}

/**
 * Stores a new key and signs it: the only time that it is seen. Days null: no end of its own. A key
 * that `maker` makes ends with its maker at the latest; `shortened` says that it does so sooner than
 * was asked. With `bounds` only within what its user may have. Throws ApiError 403, and 401 or 409
 * where the maker makes no key at this moment.
 */
export async function makeKey(
  db: Db,
  secrets: Secrets,
  actor: Actor,
  input: { userId: number; name: string; scopes: readonly string[]; days: number | null },
  maker: Pick<Auth, "keyId" | "role" | "session"> | null = null,
  bounds?: Config,
) {
  const jti = crypto.randomUUID();
  const { userId, name, scopes, days } = input;
  const wanted = days === null ? null : new Date(Date.now() + days * 86_400_000).toISOString();
  const end = maker ? soonerOf(sql`${wanted}`, sql`m.expires_at`) : sql`${wanted}`;
  const room = bounds ? roomToMake(bounds, userId, "keys") : sql`true`;
  const { rows } = await chain(db, {
    inserted: db.run(sql`
      insert into api_key (jti, user_id, parent_id, name, scopes, days, expires_at)
      select ${jti}, ${userId}, ${maker?.keyId ?? null}, ${name}, ${JSON.stringify(scopes)}, ${days}, ${end}
      ${maker ? sql`from api_key m join user u on u.id = m.user_id where m.id = ${maker.keyId} and ${mayMake(maker)} and ${room}` : sql`where ${room}`}`),
    noted: noteChange(
      db,
      actor,
      "inserted",
      "key.create",
      sql`(select id from api_key where jti = ${jti})`,
      { user_id: userId, name, scopes: [...scopes], days },
    ),
    rows: selectKeys(db).where(eq(apiKey.jti, jti)),
  });
  const [row] = rows;
  const full = !row && bounds && (await explainRoom(db, bounds, userId, { keys: 1 }));
  if (full) throw full;
  if (!row && maker) throw await refuseMaker(db, maker);
  if (!row) throw new Error("the key's row did not come back");
  const expiresAt = row.expiresAt === null ? null : new Date(row.expiresAt);
  return {
    row,
    key: await signKey(secrets, { jti, userId, scopes, expiresAt }),
    shortened: row.expiresAt !== wanted,
  };
}

/** A user's id by the name, for statements. */
export const userIdOf = (name: string) => sql`(select id from user where name = ${name})`;

/** Finds a user by name or makes one; an existing user's role stays as it is. */
export async function ensureUser(db: Db, actor: Actor, name: string, role: Role) {
  const { users } = await chain(db, {
    inserted: db.insert(user).values({ name, role }).onConflictDoNothing(),
    noted: noteChange(db, actor, "inserted", "user.create", userIdOf(name), { name, role }),
    users: db.select().from(user).where(eq(user.name, name)),
  });
  const [row] = users;
  if (!row) throw new Error("the user's row did not come back");
  return row;
}

/**
 * Revokes a key, of that owner alone unless null, with all keys that came from it, whoever has them,
 * and their boxes. Answers with the ids of those that were live until now, its own first.
 */
export async function revokeKey(db: Db, actor: Actor, id: number, ownerId: number | null) {
  const root = sql`(select k.id from api_key k where k.id = ${id} and k.revoked_at is null
    and ${ownerId === null ? sql`true` : sql`k.user_id = ${ownerId}`})`;
  const ending = sql`select k.id from api_key k where k.revoked_at is null
    and (k.id in ${root} or k.id in ${descendants(root)})`;
  const { revoked } = await chain(db, {
    noted: audit(
      db,
      actor,
      "key.revoke",
      ending,
      sql`iif(changed.id = ${id}, null, json_object('with_key', cast(${id} as integer)))`,
    ),
    boxes: db.run(
      sql`update box set revoked_at = ${now} where revoked_at is null and key_id in (${ending})`,
    ),
    revoked: db
      .update(apiKey)
      .set({ revokedAt: now })
      .where(sql`id in (${ending})`)
      .returning({ id: apiKey.id }),
  });
  return revoked.map((row) => row.id).sort((a, b) => a - b);
}
