import { eq } from "drizzle-orm";
import { SignJWT } from "jose";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { costOf, freshLedger, type Ledger, SECRET } from "../../../test/harness.ts";
import { openRoutes } from "../../../test/route-table.ts";
import { app } from "../../app.ts";
import { isTrackerPath } from "../../trackers/paths.ts";
import { commandLine } from "../audit/audit.ts";
import { user } from "../db/schema.ts";
import { forgetKeys } from "./keys.ts";

let ledger: Ledger;
beforeAll(async () => {
  ledger = await freshLedger();
});

const me = (key: string) => ledger.request("/api/me", { key });
const status = async (key: string) => {
  const response = await me(key);
  const body: { detail?: string } = await response.json();
  expect(JSON.stringify(body)).not.toContain(key);
  return [response.status, body.detail] as const;
};

describe("keys", () => {
  it("are refused when expired, signed otherwise, for others, or with alg none", async () => {
    const { key, userId, jti } = await ledger.key();
    expect((await status(key))[0]).toBe(200);
    const sign = (
      secret: string,
      more: (jwt: SignJWT) => SignJWT = (jwt) => jwt,
      aud = "api",
      iss = "lora-ledger",
    ) =>
      more(
        new SignJWT({ scope: "tasks:read" })
          .setProtectedHeader({ alg: "HS256" })
          .setIssuer(iss)
          .setAudience(aud)
          .setSubject(String(userId))
          .setJti(jti),
      ).sign(new TextEncoder().encode(secret));
    expect((await status(await sign(SECRET)))[0]).toBe(200);
    expect((await status(await sign(SECRET, (jwt) => jwt.setExpirationTime("-1s"))))[1]).toMatch(
      /expired/,
    );
    expect((await status(await sign("another secret that is long enough too!")))[0]).toBe(401);
    expect((await status(await sign(SECRET, undefined, "other")))[0]).toBe(401);
    expect((await status(await sign(SECRET, undefined, "api", "someone")))[0]).toBe(401);
    const [, payload] = key.split(".");
    const none = `${btoa('{"alg":"none","typ":"JWT"}').replaceAll("=", "")}.${payload}.`;
    expect((await status(none))[0]).toBe(401);
    for (const junk of ["x", "a.b.c", `${key}x`]) expect((await status(junk))[0]).toBe(401);
    expect((await ledger.request("/api/me")).status).toBe(401);
    expect(
      (await ledger.request("/api/me", { headers: { Authorization: `Basic ${key}` } })).status,
    ).toBe(401);
  });

  it("signed with the previous secret still work while it is rotated", async () => {
    const { key } = await ledger.key();
    const rotated = {
      ...ledger.bindings,
      JWT_SECRET: "the next secret, which is long enough",
      JWT_SECRET_PREVIOUS: SECRET,
    };
    const ctx = {
      waitUntil() {},
      passThroughOnException() {},
      props: {},
    } as unknown as ExecutionContext;
    const ask = (env: object) =>
      app.fetch(
        new Request("http://x/api/me", { headers: { Authorization: `Bearer ${key}` } }),
        env,
        ctx,
      );
    expect((await ask(rotated)).status).toBe(200);
    const { JWT_SECRET_PREVIOUS: _, ...done } = rotated;
    expect((await ask(done)).status).toBe(401);
  });

  it("cost no round trip between checks, and stop within 30 seconds of being revoked", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const { key, keyId } = await ledger.key();
      const admin = await ledger.key({ role: "admin" });
      await me(key);
      expect(costOf(await me(key)).trips).toBe(0);
      // As another isolate would do it: this one is not told.
      const { revokeKey } = await import("./keys.ts");
      await revokeKey(ledger.db, commandLine, keyId, null);
      expect((await me(key)).status).toBe(200);
      vi.setSystemTime(Date.now() + 30_001);
      expect((await me(key)).status).toBe(401);
      const second = await ledger.key();
      await me(second.key);
      await ledger.call(`/api/users/${second.userId}`, {
        key: admin.key,
        method: "PATCH",
        json: { active: false },
      });
      expect((await me(second.key)).status).toBe(401);
    } finally {
      vi.useRealTimers();
    }
  });

  it("stop within 30 seconds of their user being made inactive elsewhere", async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    try {
      const { key, userId } = await ledger.key();
      expect((await me(key)).status).toBe(200);
      await ledger.db.update(user).set({ active: false }).where(eq(user.id, userId));
      vi.setSystemTime(Date.now() + 30_001);
      expect((await status(key))[1]).toMatch(/no longer active/);
    } finally {
      vi.useRealTimers();
    }
  });

  it("are all seen and revoked by admins, with when they were last used", async () => {
    const admin = await ledger.key({ role: "admin" });
    const { key, keyId, userId } = await ledger.key();
    const seen = async () => {
      const { items } = await ledger.call("/api/keys", { key: admin.key });
      return items.find((item: { id: number }) => item.id === keyId);
    };
    expect(await seen()).toMatchObject({ user_id: userId, last_used_at: null });
    forgetKeys();
    // One trip checks the key; its use is noted after the answer.
    expect(costOf(await me(key)).trips).toBe(1);
    const { last_used_at } = await seen();
    expect(Math.abs(Date.parse(last_used_at) - Date.now())).toBeLessThan(60_000);
    forgetKeys();
    await me(key);
    expect((await seen()).last_used_at).toBe(last_used_at);
    await ledger.call(`/api/keys/${keyId}`, { key: admin.key, method: "DELETE" });
    expect((await me(key)).status).toBe(401);
    expect((await seen()).revoked_at).not.toBeNull();
  });

  it("warn in their last week, and are renewed by their holder", async () => {
    const short = await ledger.key({ days: 3 });
    const answer = await me(short.key);
    expect(Date.parse(answer.headers.get("X-Key-Expires") ?? "")).toBeGreaterThan(Date.now());
    const renewed = await ledger.call(`/api/keys/${short.keyId}/renew`, {
      key: short.key,
      method: "POST",
    });
    expect(Date.parse(renewed.expires_at) - Date.now()).toBeGreaterThan(2.99 * 86_400_000);
    expect((await status(renewed.key))[0]).toBe(200);
    const long = await ledger.key({ days: 30 });
    expect((await me(long.key)).headers.get("X-Key-Expires")).toBeNull();
    await ledger.call(`/api/keys/${short.keyId}/renew`, { key: long.key, method: "POST" }, 403);
    const endless = await ledger.key();
    await ledger.call(
      `/api/keys/${endless.keyId}/renew`,
      { key: endless.key, method: "POST" },
      409,
    );
  });

  it("never give more than their maker and user may do", async () => {
    const viewer = await ledger.key({
      role: "viewer",
      scopes: ["tasks:read", "tasks:write", "admin"],
    });
    await ledger.call("/api/tasks", { key: viewer.key, json: { task_name: "x" } }, 403);
    await ledger.call(
      "/api/keys",
      { key: viewer.key, json: { name: "k", scopes: ["tasks:write"] } },
      403,
    );
    await ledger.call("/api/keys", { key: viewer.key, json: { name: "k", scopes: ["box"] } }, 403);
    const reader = await ledger.key({ scopes: ["tasks:read", "keys:write"] });
    await ledger.call(
      "/api/keys",
      { key: reader.key, json: { name: "k", scopes: ["tasks:read", "tasks:write"] } },
      403,
    );
    const made = await ledger.call("/api/keys", { key: reader.key, json: { name: "k" } });
    expect(made.scopes).toEqual(["tasks:read", "keys:write"]);
    const member = await ledger.key();
    const box = await ledger.call("/api/keys", {
      key: member.key,
      json: { name: "box", scopes: ["box"], days: 2 },
    });
    await ledger.call(
      "/api/keys",
      { key: member.key, json: { name: "b", scopes: ["box", "tasks:read"] } },
      422,
    );
    for (const path of ["/api/me", "/api/keys", "/api/users", "/api/tasks"])
      await ledger.call(path, { key: box.key }, 403);
    await ledger.call(
      "/api/keys",
      { key: member.key, json: { name: "k", user_id: reader.userId } },
      403,
    );
    const own = await ledger.call("/api/keys", { key: member.key });
    expect(own.items.every((k: { user_id: number }) => k.user_id === member.userId)).toBe(true);
    expect(JSON.stringify(own)).not.toContain(box.key.split(".")[2]);
    await ledger.call(`/api/keys/${box.id}`, { key: reader.key, method: "DELETE" }, 404);
    await ledger.call(`/api/keys/${box.id}`, { key: member.key, method: "DELETE" });
    forgetKeys();
    expect((await ledger.request("/api/tasks", { key: box.key, json: {} })).status).toBe(401);
  });
});

describe("users", () => {
  it("are made and changed by admins, the last of whom stays", async () => {
    const own = await freshLedger();
    const admin = await own.key({ role: "admin" });
    const anna = await own.call("/api/users", {
      key: admin.key,
      json: { name: "anna", role: "viewer" },
    });
    await own.call("/api/users", { key: admin.key, json: { name: "anna" } }, 409);
    await own.call(
      `/api/users/${anna.id}`,
      { key: admin.key, method: "PATCH", json: { role: "admin" }, headers: { "If-Match": '"7"' } },
      412,
    );
    await own.call(
      `/api/users/${admin.userId}`,
      { key: admin.key, method: "PATCH", json: { active: false } },
      409,
    );
    await own.call(
      `/api/users/${admin.userId}`,
      { key: admin.key, method: "PATCH", json: { name: "anna" } },
      409,
    );
    const changed = await own.call(`/api/users/${anna.id}`, {
      key: admin.key,
      method: "PATCH",
      json: { role: "admin" },
      headers: { "If-Match": '"1"' },
    });
    expect(changed).toMatchObject({ role: "admin", version: 2 });
    await own.call(`/api/users/${admin.userId}`, {
      key: admin.key,
      method: "PATCH",
      json: { role: "member" },
    });
    await own.call("/api/users", { key: admin.key, json: { name: "x" } }, 403);
    await own.call("/api/users/999", { key: admin.key, method: "PATCH", json: {} }, 403);
  });
});

describe("two admins at once", () => {
  it("change a user one after the other: the second is told with 412", async () => {
    const own = await freshLedger();
    const [ada, bob] = [await own.key({ role: "admin" }), await own.key({ role: "admin" })];
    const { id } = await own.call("/api/users", { key: ada.key, json: { name: "anna" } });
    const change = (key: string, role: string) =>
      own.request(`/api/users/${id}`, {
        key,
        method: "PATCH",
        json: { role },
        headers: { "If-Match": '"1"' },
      });
    const answers = await Promise.all([change(ada.key, "viewer"), change(bob.key, "admin")]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 412]);
    const told = answers.find((answer) => answer.status === 412);
    expect(await told?.json()).toMatchObject({ version: 2 });
    const noted = await own.call(`/api/audit?subject=user&subject_id=${id}`, { key: ada.key });
    expect(noted.items.map((entry: { action: string }) => entry.action)).toEqual([
      "user.update",
      "user.create",
    ]);
  });

  it("cannot both give up the last admin's role", async () => {
    const own = await freshLedger();
    const [ada, bob] = [await own.key({ role: "admin" }), await own.key({ role: "admin" })];
    const leave = ({ key, userId }: { key: string; userId: number }) =>
      own.request(`/api/users/${userId}`, { key, method: "PATCH", json: { role: "member" } });
    const answers = await Promise.all([leave(ada), leave(bob)]);
    expect(answers.map((answer) => answer.status).sort()).toEqual([200, 409]);
  });
});

describe("every route", () => {
  it("answers 401 without a key unless it is on the list of open ones", async () => {
    // Those of other trackers' protocols are held to test/tracker-rights.test.ts.
    const routes = app.routes.filter(
      (r) => r.method !== "ALL" && !r.path.endsWith("*") && !isTrackerPath(r.path),
    );
    const seen = [...new Set(routes.map((r) => `${r.method} ${r.path}`))];
    expect(seen.length).toBeGreaterThan(20);
    for (const route of seen) {
      const [method = "", path = ""] = route.split(" ");
      if (openRoutes.includes(route)) continue;
      const response = await ledger.request(path.replace(/:\w+(\{.*?\})?/g, "1"), { method });
      expect([route, response.status]).toEqual([route, 401]);
      expect(response.headers.get("Content-Type")).toContain("application/problem+json");
      await response.body?.cancel();
    }
    const nowhere = await ledger.request("/api/nothing/here");
    expect(nowhere.status).toBe(401);
  });
});
