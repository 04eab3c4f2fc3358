// Signing a browser in by a link in place of a key: once, within minutes, and only for a key that works.
import { eq } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../../test/harness.ts";
import { unique } from "../../../test/unique.ts";
import { commandLine } from "../audit/audit.ts";
import { apiKey, auditEntry, session, signInLink, user } from "../db/schema.ts";
import { makeSignInCode } from "./sign-in-links.ts";

let ledger: Ledger;
beforeAll(async () => {
  ledger = await freshLedger();
});

const past = "2026-01-01T00:00:00.000Z";
const page = { "Sec-Fetch-Site": "same-origin", Origin: "http://ledger.test" };
const redeem = (json: unknown, headers: Record<string, string> = page) =>
  ledger.request("/session", { json, headers });
const statusOf = async (answer: Promise<Response>) => {
  const { status, body } = await answer;
  await body?.cancel();
  return status;
};
const codeFor = (keyId: number) => makeSignInCode(ledger.db, commandLine, keyId);

describe("a sign-in link", () => {
  it("gives a session of its key once, and is kept as a hash", async () => {
    const { keyId, userId, userName } = await ledger.key({ role: "viewer" });
    const code = await codeFor(keyId);
    const opened = await redeem({ code });
    expect(opened.status).toBe(200);
    expect(await opened.json()).toMatchObject({ user_id: userId, name: userName });
    const [cookie = ""] = (opened.headers.get("Set-Cookie") ?? "").split(";");
    const asked = (path: string, json?: unknown) =>
      ledger.request(path, { json, headers: { ...page, Cookie: cookie } });
    expect(await (await asked("/api/me")).json()).toMatchObject({ key_id: keyId, role: "viewer" });
    expect(await statusOf(asked("/api/tasks", { task_name: "x" }))).toBe(403);

    const again = await redeem({ code });
    expect([again.status, await again.json()]).toMatchObject([
      ...[401, { type: "urn:lora-ledger:link-not-valid" }],
    ]);
    const kept = await ledger.db.select().from(signInLink).where(eq(signInLink.keyId, keyId));
    expect(kept).toHaveLength(1);
    expect(JSON.stringify(kept)).not.toContain(code);
    const noted = await ledger.db.select().from(auditEntry).where(eq(auditEntry.subjectId, keyId));
    const actions = noted.map(({ action }) => action);
    expect(actions).toEqual(expect.arrayContaining(["key.sign-in-link", "key.sign-in"]));
    expect(JSON.stringify(noted)).not.toContain(code);
  });

  it("gives one session to many that bring it at once", async () => {
    const { keyId } = await ledger.key();
    const code = await codeFor(keyId);
    const statuses = await Promise.all(Array.from({ length: 8 }, () => statusOf(redeem({ code }))));
    expect(statuses.sort()).toEqual([200, ...Array(7).fill(401)]);
    expect(await ledger.db.select().from(session).where(eq(session.keyId, keyId))).toHaveLength(1);
  });

  it("is worth nothing after its minutes, and is cleared away with the next", async () => {
    const { keyId } = await ledger.key();
    const code = await codeFor(keyId);
    const own = eq(signInLink.keyId, keyId);
    await ledger.db.update(signInLink).set({ expiresAt: past }).where(own);
    expect(await statusOf(redeem({ code }))).toBe(401);
    const next = await codeFor(keyId);
    expect(await ledger.db.select().from(signInLink).where(own)).toHaveLength(1);
    expect(await statusOf(redeem({ code: next }))).toBe(200);
  });

  it("is worth nothing without a key that works, and never opens the pages to a box", async () => {
    const end: Record<string, (keyId: number, userId: number) => Promise<unknown>> = {
      revoked: (keyId) =>
        ledger.db.update(apiKey).set({ revokedAt: past }).where(eq(apiKey.id, keyId)),
      expired: (keyId) =>
        ledger.db.update(apiKey).set({ expiresAt: past }).where(eq(apiKey.id, keyId)),
      "of nobody": (_, userId) =>
        ledger.db.update(user).set({ active: false }).where(eq(user.id, userId)),
    };
    for (const [how, ended] of Object.entries(end)) {
      const { keyId, userId } = await ledger.key();
      const code = await codeFor(keyId);
      await ended(keyId, userId);
      expect([how, await statusOf(redeem({ code }))]).toEqual([how, 401]);
      const made = await ledger.db.select().from(session).where(eq(session.keyId, keyId));
      expect([how, made]).toEqual([how, []]);
    }
    const box = await ledger.key({ scopes: ["box"] });
    expect(await statusOf(redeem({ code: await codeFor(box.keyId) }))).toBe(401);
  });

  it("is used up by no bad request and by no other site's page", async () => {
    const { keyId, key } = await ledger.key();
    const code = await codeFor(keyId);
    const bad = [{}, { code: "" }, { code: "a".repeat(201) }, { code: 1 }, { code, key }, [code]];
    for (const body of bad) expect([body, await statusOf(redeem(body))]).toEqual([body, 422]);
    for (const wrong of [`${code}x`, code.slice(1), "%00", "a'--"])
      expect([wrong, await statusOf(redeem({ code: wrong }))]).toEqual([wrong, 401]);
    expect(await statusOf(redeem({ code }, { "Sec-Fetch-Site": "cross-site" }))).toBe(403);
    expect(await statusOf(redeem({ code }, { Origin: "https://elsewhere.example" }))).toBe(403);
    expect(await statusOf(redeem({ code }))).toBe(200);
  });
});

describe("a link for a key that was made", () => {
  const invite = async () => {
    const admin = await ledger.key({ role: "admin" });
    const { id: user_id } = await ledger.call(
      "/api/users",
      { key: admin.key, json: { name: unique("anna"), role: "member" } },
      200,
    );
    const made = await ledger.call(
      "/api/keys",
      { key: admin.key, json: { name: "pages", user_id } },
      200,
    );
    return { admin, user_id, made };
  };
  const link = (key: string, id: number, json: unknown = { minutes: 600 }, status = 200) =>
    ledger.call(`/api/keys/${id}/link`, { key, json }, status);
  const codeOf = (url: string) => url.split("#code=")[1];

  it("signs its user in, once, and ends the links before it", async () => {
    const { admin, user_id, made } = await invite();
    const first = await link(admin.key, made.id);
    const { url, expires_at } = await link(admin.key, made.id);
    expect(url).toMatch(/^http:\/\/ledger\.test\/sign-in#code=[\w-]{43}$/);
    const minutes = (Date.parse(expires_at) - Date.now()) / 60_000;
    expect(Math.abs(minutes - 600)).toBeLessThan(2);
    expect(await statusOf(redeem({ code: codeOf(first.url) }))).toBe(401);
    const opened = await redeem({ code: codeOf(url) });
    expect([opened.status, await opened.json()]).toMatchObject([200, { user_id }]);
    expect(await statusOf(redeem({ code: codeOf(url) }))).toBe(401);
  });

  it("is made by the key that made it or by itself, and by no other", async () => {
    const { admin, made } = await invite();
    const other = await ledger.key({ role: "admin" });
    await link(other.key, made.id, {}, 404);
    await link(made.key, admin.keyId, {}, 404);
    const own = await link(made.key, made.id);
    expect(await statusOf(redeem({ code: codeOf(own.url) }))).toBe(200);
    // A refused call ends nobody's link.
    const kept = await link(admin.key, made.id);
    await link(other.key, made.id, {}, 404);
    expect(await statusOf(redeem({ code: codeOf(kept.url) }))).toBe(200);
    await link(admin.key, 999_999_999, {}, 404);
  });

  it("is made for no key that is revoked or a box's, and lives a week at most", async () => {
    const { admin, made } = await invite();
    const box = await ledger.call(
      "/api/keys",
      { key: admin.key, json: { name: "box", scopes: ["box"] } },
      200,
    );
    await link(admin.key, box.id, {}, 404);
    for (const minutes of [0, -1, 10_081, "5", null])
      await link(admin.key, made.id, { minutes }, 422);
    const { url } = await link(admin.key, made.id);
    await ledger.call(`/api/keys/${made.id}`, { key: admin.key, method: "DELETE" }, 200);
    expect(await statusOf(redeem({ code: codeOf(url) }))).toBe(401);
    await link(admin.key, made.id, {}, 404);
  });
});
