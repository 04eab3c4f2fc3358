// A key's life and rights never exceed its maker's, and revoking it reaches all that came from it.
import { eq, sql } from "drizzle-orm";
import { beforeEach, describe, expect, it } from "vitest";
import { commandLine } from "../../src/platform/audit/audit.ts";
import { forgetKeys, revokeKey } from "../../src/platform/auth/keys.ts";
import { apiKey, box, session, user } from "../../src/platform/db/schema.ts";
import { freshLedger, type Ledger } from "../harness.ts";

let ledger: Ledger;
beforeEach(async () => {
  forgetKeys();
  ledger = await freshLedger();
});

const DAY = 86_400_000;
const page = { "Sec-Fetch-Site": "same-origin", Origin: "http://ledger.test" };

type Made = {
  id: number;
  key: string;
  expires_at: string | null;
  parent_id: number | null;
  scopes: string[];
  warnings: string[];
};
const make = (key: string, more: object = {}, status = 200): Promise<Made> =>
  ledger.call("/api/keys", { key, json: { name: "made", ...more } }, status);
const revoke = (key: string, id: number, status = 200) =>
  ledger.call(`/api/keys/${id}`, { key, method: "DELETE" }, status);
const renew = (key: string, id: number, status = 200) =>
  ledger.call(`/api/keys/${id}/renew`, { key, method: "POST" }, status);
const enrol = (key: string, more: object = {}, status = 200) =>
  ledger.call("/api/boxes/enrol", { key, json: more }, status);
const exchange = (token: string, status = 200) =>
  ledger.call("/api/boxes/exchange", { json: { token } }, status);
const list = async (key: string): Promise<(Made & { children: number; made_by: string })[]> =>
  (await ledger.call("/api/keys", { key })).items;
const works = async (key: string) => {
  forgetKeys();
  const response = await ledger.request("/api/tasks", { key, json: { task_name: "works" } });
  await response.body?.cancel();
  return response.status === 200;
};
const endOf = ({ expires_at }: { expires_at: string | null }) => Date.parse(expires_at ?? "");
/** Ends a key as another isolate would do it: this one is not told. */
const revokeElsewhere = (id: number) => revokeKey(ledger.db, commandLine, id, null);

/** A browser signed in with a key: sends requests by its cookie. */
async function signIn(key: string) {
  const answer = await ledger.request("/session", { json: { key }, headers: page });
  const [cookie = ""] = (answer.headers.get("Set-Cookie") ?? "").split(";");
  return (path: string, json: object, status = 200) =>
    ledger.call(path, { json, headers: { ...page, Cookie: cookie } }, status);
}

describe("a key that a key makes", () => {
  it("ends with its maker at the latest, and says so", async () => {
    const maker = await ledger.key({ days: 1 });
    const [{ end } = { end: null }] = await ledger.db
      .select({ end: apiKey.expiresAt })
      .from(apiKey)
      .where(eq(apiKey.id, maker.keyId));
    for (const days of [null, undefined, 400]) {
      const made = await make(maker.key, { days });
      expect(made).toMatchObject({ expires_at: end, parent_id: maker.keyId });
      expect(made.warnings).toEqual([expect.stringContaining("no key outlives its maker")]);
    }
    const short = await make(maker.key, { days: 0.5 });
    expect(endOf(short) - Date.now()).toBeLessThan(DAY / 2);
    expect(short.warnings).toEqual([]);
    const endless = await ledger.key();
    expect(await make(endless.key)).toMatchObject({ expires_at: null, warnings: [] });
  });

  it("is revoked with its maker, as are those that it made, their boxes and their sessions", async () => {
    const maker = await ledger.key();
    const stranger = await ledger.key();
    const child = await make(maker.key);
    const grandchild = await make(child.key, { days: 30 });
    const boxed = await exchange((await enrol(grandchild.key)).token);
    const sibling = await make(maker.key);
    const asPage = await signIn(grandchild.key);
    expect((await list(maker.key)).find(({ id }) => id === child.id)).toMatchObject({
      parent_id: maker.keyId,
      made_by: maker.userName,
      children: 2,
    });
    for (const { key } of [child, grandchild, boxed]) expect(await works(key)).toBe(true);
    await revoke(stranger.key, child.id, 404);

    const { revoked } = await revoke(maker.key, child.id);
    const [boxKey] = await ledger.db.select({ id: box.keyId, gone: box.revokedAt }).from(box);
    expect(revoked).toEqual([child.id, grandchild.id, boxKey?.id]);
    expect(boxKey?.gone).not.toBeNull();
    for (const { key } of [child, grandchild, boxed]) expect(await works(key)).toBe(false);
    await asPage("/api/tasks", { task_name: "x" }, 401);
    for (const { key } of [maker, sibling]) expect(await works(key)).toBe(true);
    const noted = await ledger.db.all<{ id: number; detail: string | null }>(
      sql`select subject_id as id, detail from audit_entry where action = 'key.revoke' order by subject_id`,
    );
    expect(noted).toEqual([
      { id: child.id, detail: null },
      { id: grandchild.id, detail: `{"with_key":${child.id}}` },
      { id: boxKey?.id, detail: `{"with_key":${child.id}}` },
    ]);
    await revoke(maker.key, child.id, 404);
  });

  it("is not made by a key that was revoked, ended or demoted up to 30 seconds ago", async () => {
    const gone = await ledger.key();
    const token = (await enrol(gone.key)).token;
    await revokeElsewhere(gone.keyId);
    expect((await make(gone.key, {}, 401)) as unknown).toMatchObject({
      type: "urn:lora-ledger:key-revoked",
    });
    await exchange(token, 401);

    for (const path of ["/api/keys", "/api/boxes/enrol"]) {
      const json = path === "/api/keys" ? { name: "k" } : {};
      const holder = await ledger.key();
      const asPage = await signIn(holder.key);
      await asPage(path, json);
      const know = () => ledger.call("/api/me", { key: holder.key });
      await know();
      await ledger.db.update(session).set({ endedAt: "2026-01-01T00:00:00.000Z" });
      await asPage(path, json, 401);
      await know();
      await ledger.db.update(user).set({ active: false }).where(eq(user.id, holder.userId));
      await ledger.call(path, { key: holder.key, json }, 401);
      const admin = await ledger.key({ role: "admin" });
      await ledger.call("/api/me", { key: admin.key });
      await ledger.db.update(user).set({ role: "member" }).where(eq(user.id, admin.userId));
      await ledger.call(path, { key: admin.key, json }, 409);
      const dated = await ledger.key({ days: 1 });
      await ledger.call("/api/me", { key: dated.key });
      await ledger.db
        .update(apiKey)
        .set({ expiresAt: "2026-01-01T00:00:00.000Z" })
        .where(eq(apiKey.id, dated.keyId));
      await ledger.call(path, { key: dated.key, json }, 401);
    }
  });

  it("is not made below a revoked one, nor by the tenth of a line", async () => {
    const first = await ledger.key();
    let last: { id: number; key: string } = { id: first.keyId, key: first.key };
    for (let n = 2; n <= 10; n++) last = await make(last.key);
    expect((await make(last.key, {}, 409)) as unknown).toMatchObject({
      type: "urn:lora-ledger:too-many-makers",
    });
    await enrol(last.key, {}, 409);
    const child = await make(first.key);
    await make(child.key);
    // As if a revocation had not reached it.
    await ledger.db
      .update(apiKey)
      .set({ revokedAt: "2026-01-01T00:00:00.000Z" })
      .where(eq(apiKey.id, first.keyId));
    await make(child.key, {}, 401);
    const { revoked } = await revoke((await ledger.key({ role: "admin" })).key, child.id);
    expect(revoked).toHaveLength(2);
  });

  it("is not renewed beyond its maker's end, nor when its maker works no more", async () => {
    const maker = await ledger.key({ days: 2 });
    const child = await make(maker.key, { days: null });
    const other = await make(maker.key, { days: 1 });
    for (const { key, id } of [child, other]) {
      const again = await renew(key, id);
      expect(endOf(again)).toBeLessThanOrEqual(endOf(child));
      expect(again.warnings).toHaveLength(id === child.id ? 1 : 0);
      expect(await works(again.key)).toBe(true);
    }
    // The maker itself is renewed as ever, and its children after it.
    await ledger.db.update(apiKey).set({ days: 30 }).where(eq(apiKey.id, maker.keyId));
    const later = await renew(maker.key, maker.keyId);
    expect(endOf(later) - Date.now()).toBeGreaterThan(29 * DAY);
    expect((await renew(child.key, child.id)).expires_at).toBe(later.expires_at);

    const box = await exchange((await enrol(other.key, { days: 3 })).token);
    expect(endOf(box)).toBeLessThanOrEqual(endOf(other) + 5000);
    await ledger.db.update(user).set({ active: false }).where(eq(user.id, maker.userId));
    forgetKeys();
    await renew(child.key, child.id, 401);
  });

  it("of a box ends with the key that enrolled the box", async () => {
    const ci = await ledger.key({ days: 1 });
    const { token, warnings, expires_at } = await enrol(ci.key, { days: 3 });
    expect(warnings).toEqual([expect.stringContaining("ends at")]);
    expect(Date.parse(expires_at) - Date.now()).toBeLessThan(16 * 60_000);
    const boxed = await exchange(token);
    expect(endOf(boxed) - Date.now()).toBeLessThan(DAY);
    const [row] = await ledger.db.select().from(apiKey).orderBy(sql`id desc`).limit(1);
    expect(row).toMatchObject({ parentId: ci.keyId, expiresAt: boxed.expires_at });

    // A session's box goes by the session's key, which has no end here.
    const endless = await ledger.key();
    const made = await (await signIn(endless.key))("/api/boxes/enrol", { days: 3 });
    expect(made.warnings).toEqual([]);
    expect(endOf(await exchange(made.token)) - Date.now()).toBeGreaterThan(2.9 * DAY);

    const demoted = await ledger.key();
    const old = (await enrol(demoted.key)).token;
    await ledger.db.update(user).set({ role: "viewer" }).where(eq(user.id, demoted.userId));
    await exchange(old, 403);
  });
});

describe("an admin's key", () => {
  it("makes no key for others that lives longer or does more, and takes them along", async () => {
    const admin = await ledger.key({ role: "admin", days: 1 });
    const bert = await ledger.key();
    const theirs = await make(admin.key, { user_id: bert.userId, days: 365 });
    expect(endOf(theirs) - Date.now()).toBeLessThan(DAY);
    const approver = await make(admin.key, {
      user_id: bert.userId,
      scopes: ["models:read", "models:approve"],
    });
    expect(approver.scopes).toEqual(["models:read", "models:approve"]);
    const narrow = await ledger.key({ role: "admin", scopes: ["admin", "keys:write"] });
    await make(narrow.key, { user_id: bert.userId, scopes: ["tasks:write"] }, 403);
    // Bert sees whose key made his, and an admin's revocation ends it.
    expect((await list(bert.key)).find(({ id }) => id === theirs.id)).toMatchObject({
      parent_id: admin.keyId,
      made_by: admin.userName,
    });
    const root = await ledger.key({ role: "admin" });
    const { revoked } = await revoke(root.key, admin.keyId);
    expect(revoked).toEqual([admin.keyId, theirs.id, approver.id]);
    expect(await works(theirs.key)).toBe(false);
    expect(await works(bert.key)).toBe(true);
  });

  it("leaves others' keys alone when its user is made inactive, but they are not renewed", async () => {
    const admin = await ledger.key({ role: "admin", days: 30 });
    const bert = await ledger.key();
    const theirs = await make(admin.key, { user_id: bert.userId, days: 3 });
    const root = await ledger.key({ role: "admin" });
    await ledger.call(`/api/users/${admin.userId}`, {
      key: root.key,
      method: "PATCH",
      json: { active: false },
    });
    expect(await works(admin.key)).toBe(false);
    expect(await works(theirs.key)).toBe(true);
    expect(await renew(theirs.key, theirs.id, 409)).toMatchObject({
      type: "urn:lora-ledger:maker-ended",
    });
    await revoke(root.key, admin.keyId);
    expect(await works(theirs.key)).toBe(false);
  });
});

describe("the scopes of keys", () => {
  it("are asked for to see, make and revoke them; a key sees and revokes itself without", async () => {
    const anna = await ledger.key({ user: "anna" });
    const reader = await ledger.key({ user: "anna", scopes: ["tasks:read"] });
    for (const [path, sent] of [
      ["/api/keys", {}],
      ["/api/keys", { json: { name: "k" } }],
      [`/api/keys/${anna.keyId}`, { method: "DELETE" }],
    ] as const) {
      const { detail } = await ledger.call(path, { key: reader.key, ...sent }, 403);
      expect(detail).toMatch(/keys:(read|write)/);
    }
    const lister = await ledger.key({ user: "anna", scopes: ["keys:read"] });
    expect(await list(lister.key)).toHaveLength(3);
    await revoke(lister.key, reader.keyId, 403);
    expect(await ledger.call("/api/me", { key: reader.key })).toMatchObject({
      key_id: reader.keyId,
    });
    expect(await revoke(reader.key, reader.keyId)).toEqual({ revoked: [reader.keyId] });
    expect(await works(anna.key)).toBe(true);
    // What is usual for a role has both, a viewer's own keys included.
    for (const role of ["viewer", "member", "admin"] as const)
      expect((await make((await ledger.key({ role })).key)).scopes).toEqual(
        expect.arrayContaining(["keys:read", "keys:write"]),
      );
  });

  it("are what the ledger has of a key, whatever its token says", async () => {
    const { key, keyId } = await ledger.key();
    await ledger.db
      .update(apiKey)
      .set({ scopes: ["tasks:read"] })
      .where(eq(apiKey.id, keyId));
    forgetKeys();
    expect((await ledger.call("/api/me", { key })).scopes).toEqual(["tasks:read"]);
  });
});

describe("a page's session", () => {
  it("changes nothing without word of where the request comes from, whatever PUBLIC_URL says", async () => {
    for (const PUBLIC_URL of ["", "http://ledger.test"]) {
      ledger = await freshLedger({ PUBLIC_URL });
      const { key } = await ledger.key();
      const answer = await ledger.request("/session", { json: { key }, headers: page });
      const [Cookie = ""] = (answer.headers.get("Set-Cookie") ?? "").split(";");
      const register = async (headers: Record<string, string>) => {
        const response = await ledger.request("/api/tasks", {
          json: { task_name: "x" },
          headers: { Cookie, ...headers },
        });
        await response.body?.cancel();
        return response.status;
      };
      expect([PUBLIC_URL, await register({})]).toEqual([PUBLIC_URL, 403]);
      expect(await register({ Origin: "null" })).toBe(403);
      expect(await register({ Origin: "http://ledger.test" })).toBe(200);
      expect(await register(page)).toBe(200);
      const out = { method: "DELETE", headers: { Cookie } };
      expect((await ledger.request("/session", out)).status).toBe(403);
    }
  });
});
