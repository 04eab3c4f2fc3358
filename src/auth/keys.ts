import { and, eq, isNull, sql } from "drizzle-orm";
import { errors, jwtVerify, SignJWT } from "jose";
import * as z from "zod";
import { type Actor, audit, ifChanged } from "../audit/audit.ts";
import type { Db } from "../db/client.ts";
import { insertIf } from "../db/insert.ts";
import { apiKey, now, session, user } from "../db/schema.ts";
import type { Config } from "../env.ts";
import { ApiError } from "../http/problem.ts";
import { noRoom, roomToMake } from "../use/bounds.ts";
import { effectiveScopes, type KeyScope, type Role } from "./scopes.ts";

const issuer = "lora-ledger";
/** What a token is for: a key for programs, a session for the pages. Neither passes for the other. */
type Purpose = "api" | "session";

export type Secrets = { JWT_SECRET: string; JWT_SECRET_PREVIOUS?: string };

/** Who calls, what the key allows, and where the platform says that the request came from. */
export type Auth = Caller & { address: string | null };

type Caller = {
  userId: number;
  userName: string;
  keyId: number;
  role: Role;
  scopes: ReadonlySet<KeyScope>;
  /** A rented machine's key, which reaches only tasks that it registered or claimed, if anything. */
  box: boolean;
  expiresAt: Date | null;
  /** Set where a page's session calls rather than a key: its id, when its token was made (s), its end. */
  session: { id: string; issuedAt: number; endsAt: string } | null;
};

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

export const unauthorized = (code: string, detail: string) =>
  new ApiError(401, code, detail, {
    headers: { "WWW-Authenticate": 'Bearer realm="lora-ledger"' },
  });

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
        throw unauthorized(
          `${purpose === "api" ? "key" : purpose}-expired`,
          purpose === "api"
            ? "This key has expired. Ask for a new one."
            : "This session has ended. Sign in again.",
        );
      if (error instanceof errors.JWSSignatureVerificationFailed) continue;
      break;
    }
  }
  throw purpose === "api"
    ? unauthorized(
        "key-not-valid",
        "This key is not valid here. Send `Authorization: Bearer <key>`.",
      )
    : unauthorized("session-not-valid", "This session is not valid here. Sign in again.");
}

type Standing = {
  userId: number;
  userName: string;
  keyId: number;
  role: Role;
  keyExpiresAt: string | null;
  /** When a session ends for good; null for keys. */
  endsAt: string | null;
  live: boolean;
};
type Known = Standing & { checkedAt: number };

const CHECK_EVERY_MS = 30_000;
const MOST_KNOWN = 10_000;
/** Plain data only: what the database last said of a key. */
const known = new Map<string, Known>();

const remember = (jti: string, standing: Standing) => {
  known.delete(jti);
  known.set(jti, { ...standing, checkedAt: Date.now() });
  for (const oldest of known.keys()) {
    if (known.size <= MOST_KNOWN) break;
    known.delete(oldest);
  }
};

/** Makes this isolate ask the database again; the others do within 30 seconds. */
export const forgetKeys = () => known.clear();

/** What every check of a key or session reads of its key and user. */
const standingColumns = {
  keyId: apiKey.id,
  keyExpiresAt: apiKey.expiresAt,
  revokedAt: apiKey.revokedAt,
  userId: user.id,
  userName: user.name,
  role: user.role,
  active: user.active,
};

const keyStanding = async (db: Db, jti: string, userId: number) => {
  const [row] = await db
    .select(standingColumns)
    .from(apiKey)
    .innerJoin(user, eq(user.id, apiKey.userId))
    .where(and(eq(apiKey.jti, jti), eq(apiKey.userId, userId)));
  return row && { ...row, endsAt: null, ended: false };
};

const sessionStanding = async (db: Db, id: string, userId: number) => {
  const [row] = await db
    .select({ ...standingColumns, endsAt: session.endsAt, endedAt: session.endedAt })
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
  api: { what: "key", read: keyStanding },
  session: { what: "session", read: sessionStanding },
} as const;

/**
 * The caller behind a key or a session's token. Between checks with the database, at most 30 seconds
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
  let standing = known.get(name);
  if (!standing || Date.now() - standing.checkedAt >= CHECK_EVERY_MS) {
    const row = await read(db, claims.jti, Number(claims.sub));
    if (!row) throw unauthorized(`${what}-unknown`, `This ${what} is not known to this ledger.`);
    const { revokedAt, active, ended, ...rest } = row;
    standing = { ...rest, live: revokedAt === null && active && !ended, checkedAt: Date.now() };
    remember(name, standing);
    if (standing.live) later(noteUse(db, row.keyId));
  }
  if (!standing.live)
    throw purpose === "api"
      ? unauthorized("key-revoked", "This key was revoked, or its user is not active any more.")
      : unauthorized("session-ended", "This session has ended. Sign in again.");
  const granted = claims.scope.split(" ");
  const keyEnd = standing.keyExpiresAt === null ? null : new Date(standing.keyExpiresAt);
  return {
    userId: standing.userId,
    userName: standing.userName,
    keyId: standing.keyId,
    role: standing.role,
    scopes: effectiveScopes(standing.role, granted),
    box: granted.includes("box"),
    expiresAt: purpose === "session" ? keyEnd : claims.exp ? new Date(claims.exp * 1000) : null,
    session:
      purpose === "session"
        ? { id: claims.jti, issuedAt: claims.iat ?? 0, endsAt: standing.endsAt ?? "" }
        : null,
  };
}

/** Keeps `last_used_at` to five minutes; a failure to write it is nobody's concern. */
async function noteUse(db: Db, keyId: number) {
  try {
    await db
      .update(apiKey)
      .set({ lastUsedAt: now })
      .where(
        and(
          eq(apiKey.id, keyId),
          sql`coalesce(${apiKey.lastUsedAt}, '') < strftime('%Y-%m-%dT%H:%M:%fZ','now','-5 minutes')`,
        ),
      );
  } catch (error) {
    console.warn("last_used_at was not written", error instanceof Error ? error.name : "");
  }
}

/**
 * Stores a new key and signs it: the only time that it is seen. Days null: it does not expire. With
 * `bounds` only within what its user may have: throws ApiError 403.
 */
export async function makeKey(
  db: Db,
  secrets: Secrets,
  actor: Actor,
  input: { userId: number; name: string; scopes: readonly string[]; days: number | null },
  bounds?: Config,
) {
  const jti = crypto.randomUUID();
  const expiresAt = input.days === null ? null : new Date(Date.now() + input.days * 86_400_000);
  const [, , [row]] = await db.batch([
    db.run(
      insertIf(
        apiKey,
        {
          jti,
          userId: input.userId,
          name: input.name,
          scopes: [...input.scopes],
          days: input.days,
          expiresAt: expiresAt?.toISOString() ?? null,
        },
        bounds ? roomToMake(bounds, input.userId, "keys") : sql`true`,
      ),
    ),
    audit(
      db,
      actor,
      "key.create",
      sql`select id from api_key where jti = ${jti} and changes() = 1`,
      { user_id: input.userId, name: input.name, scopes: [...input.scopes], days: input.days },
    ),
    db.select().from(apiKey).where(eq(apiKey.jti, jti)),
  ]);
  if (!row && bounds) throw await noRoom(db, bounds, input.userId, "keys");
  if (!row) throw new Error("the key's row did not come back");
  return {
    row,
    key: await signKey(secrets, { jti, userId: input.userId, scopes: input.scopes, expiresAt }),
  };
}

/** Finds a user by name or makes one; an existing user's role stays as it is. */
export async function ensureUser(db: Db, actor: Actor, name: string, role: Role) {
  const [, , [row]] = await db.batch([
    db.insert(user).values({ name, role }).onConflictDoNothing(),
    audit(
      db,
      actor,
      "user.create",
      sql`select id from user where name = ${name} and changes() = 1`,
      { name, role },
    ),
    db.select().from(user).where(eq(user.name, name)),
  ]);
  if (!row) throw new Error("the user's row did not come back");
  return row;
}

/** Revokes a key, of that owner alone unless null; whether there was a live one. */
export async function revokeKey(db: Db, actor: Actor, id: number, ownerId: number | null) {
  const [revoked] = await db.batch([
    db
      .update(apiKey)
      .set({ revokedAt: now })
      .where(
        and(
          eq(apiKey.id, id),
          isNull(apiKey.revokedAt),
          ownerId === null ? undefined : eq(apiKey.userId, ownerId),
        ),
      )
      .returning({ id: apiKey.id }),
    audit(db, actor, "key.revoke", ifChanged(id)),
  ]);
  return revoked.length === 1;
}
