// What every kind of answer says to a browser, and methods and links that are not there.
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../harness.ts";

let ledger: Ledger;
let key: string;

beforeAll(async () => {
  ledger = await freshLedger();
  ({ key } = await ledger.key());
});

const paths = ["/healthz", "/api/me", "/api/tasks/999", "/nowhere", "/share/none", "/runs/1"];

describe("an answer", () => {
  it.each(paths)("of %s asks for https from then on, where it came by https", async (path) => {
    for (const [scheme, told] of [
      ["https", "max-age=31536000"],
      ["http", null],
    ] as const) {
      const response = await ledger.request(`${scheme}://ledger.example${path}`, { key });
      // The pages' own header comes by any scheme; browsers heed it over https alone.
      if (path !== "/runs/1")
        expect([scheme, response.headers.get("Strict-Transport-Security")]).toEqual([scheme, told]);
      expect(response.headers.get("X-Content-Type-Options")).toBe("nosniff");
    }
  });

  it("of a refusal is a problem in JSON, whatever was asked", async () => {
    for (const [method, path] of [
      ["GET", "/api/none"],
      ["PUT", "/api/tasks"],
      ["POST", "/healthz"],
      ["PURGE", "/api/tasks/1"],
      ["GET", "/share/none"],
    ] as const) {
      const response = await ledger.request(path, { key, method });
      expect([path, response.headers.get("Content-Type")]).toEqual([
        path,
        "application/problem+json",
      ]);
    }
  });
});

it("a method that a path does not take is 405, with those that it takes", async () => {
  for (const [method, path, allow] of [
    ["PUT", "/api/tasks", "HEAD, GET, POST"],
    ["TRACE", "/api/tasks/1", "HEAD, GET, PATCH, DELETE"],
    ["DELETE", "/api/tasks/1/heartbeat", "POST"],
    ["OPTIONS", "/api/me", "HEAD, GET"],
  ] as const) {
    const response = await ledger.request(path, { key, method });
    expect([path, response.status, response.headers.get("Allow")]).toEqual([path, 405, allow]);
  }
  expect((await ledger.request("/api/none", { key, method: "PUT" })).status).toBe(404);
});

it("guesses at public links are limited by address, as those at keys are", async () => {
  const limited = await freshLedger({ RATE_LIMITS: "true" });
  const minute = () => Math.floor(Date.now() / 60_000);
  async function guess(address: string): Promise<Map<number, number>> {
    const begun = minute();
    const statuses = new Map<number, number>();
    for (let n = 0; n < 70; n++) {
      const headers = { "CF-Connecting-IP": address };
      const { status } = await limited.request(`/share/guess-${n}`, { headers });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
    // Guesses are counted anew with each minute: two of them allow twice as many.
    return minute() === begun ? statuses : guess(`${address}7`);
  }
  const statuses = await guess("198.51.100.7");
  expect(statuses.get(404)).toBeLessThanOrEqual(60);
  expect(statuses.get(429)).toBeGreaterThanOrEqual(10);
});
