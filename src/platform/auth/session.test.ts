// Signing the pages in and out: what the cookie is, what it gives, and when it stops.
import { and, eq, like } from "drizzle-orm";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { costOf, freshLedger, type Ledger, type Sent } from "../../../test/harness.ts";
import { commandLine } from "../audit/audit.ts";
import { auditEntry, session } from "../db/schema.ts";
import { forgetKeys, revokeKey, signKey } from "./keys.ts";

let ledger: Ledger;
beforeAll(async () => {
  ledger = await freshLedger();
});

const page = { "Sec-Fetch-Site": "same-origin", Origin: "http://ledger.test" };

async function signIn(key: string) {
  const response = await ledger.request("/session", { json: { key }, headers: page });
  expect(response.status, await response.clone().text()).toBe(200);
  const set = response.headers.get("Set-Cookie") ?? "";
  const [pair = ""] = set.split(";");
  return { set, cookie: pair, token: pair.split("=")[1] ?? "", body: await response.json() };
}
const as = (cookie: string, path: string, sent: Sent = {}) =>
  ledger.request(path, { ...sent, headers: { ...page, Cookie: cookie, ...sent.headers } });
const statusOf = async (response: Response | Promise<Response>) => {
  const { status, body } = await response;
  await body?.cancel();
  return status;
};

describe("a session", () => {
  it("is a cookie that scripts and other sites cannot use, and never shows the key", async () => {
    const { key, userName } = await ledger.key();
    const { set, body, token } = await signIn(key);
    expect(set).toMatch(/^__Host-session=[\w.-]+; /);
    for (const word of ["HttpOnly", "Secure", "SameSite=Strict", "Path=/"])
      expect(set.split("; ")).toContain(word);
    expect(Number(set.match(/Max-Age=(\d+)/)?.[1])).toBeLessThanOrEqual(12 * 3600);
    expect(body).toMatchObject({ name: userName });
    expect(set + JSON.stringify(body)).not.toContain(key.split(".")[2]);
    // Neither passes for the other.
    expect(await statusOf(ledger.request("/api/me", { key: token }))).toBe(401);
    expect(await statusOf(as(`__Host-session=${key}`, "/api/me"))).toBe(401);
  });

  it("gives what its key gives, no more, and costs no round trip between checks", async () => {
    const viewer = await ledger.key({ role: "viewer" });
    const { cookie } = await signIn(viewer.key);
    const me = await as(cookie, "/api/me");
    expect(await me.json()).toMatchObject({ user_id: viewer.userId, key_id: viewer.keyId });
    expect(costOf(await as(cookie, "/api/me")).trips).toBe(0);
    expect(await statusOf(as(cookie, "/api/tasks", { json: { task_name: "x" } }))).toBe(403);
    const reader = await ledger.key({ role: "admin", scopes: ["tasks:read"] });
    const limited = await signIn(reader.key);
    expect(await statusOf(as(limited.cookie, "/api/tasks"))).toBe(200);
    expect(await statusOf(as(limited.cookie, "/api/weights"))).toBe(403);
    expect(await statusOf(as(limited.cookie, "/api/users", { json: { name: "x" } }))).toBe(403);
  });

  it("is not opened by a box key, a wrong key or another site's page", async () => {
    const box = await ledger.key({ scopes: ["box"] });
    const { key } = await ledger.key();
    const open = (json: unknown, headers: Record<string, string> = page) =>
      statusOf(ledger.request("/session", { json, headers }));
    expect(await open({ key: box.key })).toBe(403);
    expect(await open({ key: `${key}x` })).toBe(401);
    expect(await open({ key: "" })).toBe(422);
    expect(await open({ key }, { "Sec-Fetch-Site": "cross-site" })).toBe(403);
    expect(await open({ key }, { Origin: "https://elsewhere.example" })).toBe(403);
    expect(await open({ key }, {})).toBe(200);
  });

  it("changes nothing for another site's page, nor without word of where it comes from", async () => {
    const { key } = await ledger.key();
    const { cookie } = await signIn(key);
    const register = (headers: Record<string, string>) =>
      statusOf(
        ledger.request("/api/tasks", {
          json: { task_name: "x" },
          headers: { Cookie: cookie, ...headers },
        }),
      );
    expect(await register({ "Sec-Fetch-Site": "cross-site" })).toBe(403);
    expect(await register({ "Sec-Fetch-Site": "same-site", Origin: "http://ledger.test" })).toBe(
      403,
    );
    expect(await register({ Origin: "null" })).toBe(403);
    expect(await register({ Origin: "http://evil.ledger.test" })).toBe(403);
    expect(await register({})).toBe(403);
    expect(await register(page)).toBe(200);
    expect(await register({ Origin: "http://ledger.test" })).toBe(200);
    const out = { method: "DELETE", headers: { Cookie: cookie, "Sec-Fetch-Site": "cross-site" } };
    expect(await statusOf(ledger.request("/session", out))).toBe(403);
    expect(await statusOf(as(cookie, "/api/me"))).toBe(200);
  });

  it("ends on the server when signed out, and is noted without its token", async () => {
    const { key, keyId } = await ledger.key();
    const { cookie, token } = await signIn(key);
    const other = await signIn(key);
    expect(await statusOf(as(cookie, "/api/me"))).toBe(200);
    const out = await as(cookie, "/session", { method: "DELETE" });
    expect([out.status, out.headers.get("Set-Cookie")]).toEqual([
      204,
      expect.stringMatching(/^__Host-session=; .*Max-Age=0/),
    ]);
    expect(await statusOf(as(cookie, "/api/me"))).toBe(401);
    expect(await statusOf(as(cookie, "/session", { method: "DELETE" }))).toBe(204);
    expect(await statusOf(as(other.cookie, "/api/me"))).toBe(200);
    const noted = await ledger.db
      .select()
      .from(auditEntry)
      .where(and(eq(auditEntry.subjectId, keyId), like(auditEntry.action, "key.sign-%")));
    expect(noted.map((entry) => entry.action)).toEqual([
      "key.sign-in",
      "key.sign-in",
      "key.sign-out",
    ]);
    expect(JSON.stringify(noted)).not.toContain(token.split(".")[2]);
  });

  it("ends within 30 seconds of its key being revoked or its user made inactive", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const first = await ledger.key();
      const { cookie } = await signIn(first.key);
      expect(await statusOf(as(cookie, "/api/me"))).toBe(200);
      // As another isolate would do it: this one is not told.
      await revokeKey(ledger.db, commandLine, first.keyId, null);
      vi.setSystemTime(Date.now() + 30_001);
      expect(await statusOf(as(cookie, "/api/me"))).toBe(401);
      const admin = await ledger.key({ role: "admin" });
      const second = await ledger.key();
      const two = await signIn(second.key);
      expect(await statusOf(as(two.cookie, "/api/me"))).toBe(200);
      await ledger.call(`/api/users/${second.userId}`, {
        key: admin.key,
        method: "PATCH",
        json: { active: false },
      });
      expect(await statusOf(as(two.cookie, "/api/me"))).toBe(401);
    } finally {
      vi.useRealTimers();
    }
  });

  it("is prolonged by use, to a week at most, and ends when it is not used", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const { key } = await ledger.key();
      const begun = Date.now();
      let { cookie } = await signIn(key);
      const first = cookie;
      expect((await as(cookie, "/api/me")).headers.get("Set-Cookie")).toBeNull();
      for (let hours = 6; hours < 7 * 24; hours += 6) {
        vi.setSystemTime(begun + hours * 3_600_000);
        const response = await as(cookie, "/api/me");
        expect([hours, response.status]).toEqual([hours, 200]);
        cookie = response.headers.get("Set-Cookie")?.split(";")[0] ?? "";
      }
      expect(await statusOf(as(first, "/api/me"))).toBe(401);
      vi.setSystemTime(begun + 7 * 86_400_000 + 1000);
      expect(await statusOf(as(cookie, "/api/me"))).toBe(401);
    } finally {
      vi.useRealTimers();
      forgetKeys();
    }
  });

  it("is cleared away, once it has ended, when its key signs in again", async () => {
    const { key, keyId } = await ledger.key();
    await signIn(key);
    await ledger.db
      .update(session)
      .set({ endsAt: "2026-01-01T00:00:00.000Z" })
      .where(eq(session.keyId, keyId));
    await signIn(key);
    const rows = await ledger.db.select().from(session).where(eq(session.keyId, keyId));
    expect(rows.map((row) => Date.parse(row.endsAt) > Date.now())).toEqual([true]);
  });

  it("is not believed when signed with another secret", async () => {
    const { key, userId } = await ledger.key();
    const { token } = await signIn(key);
    const { jti } = JSON.parse(
      atob((token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/")),
    );
    const expiresAt = new Date(Date.now() + 1000_000);
    const forged = await signKey(
      { JWT_SECRET: "another secret that is long enough too!" },
      { jti, userId, scopes: ["admin"], expiresAt },
      "session",
    );
    expect(await statusOf(as(`__Host-session=${forged}`, "/api/me"))).toBe(401);
  });
});
