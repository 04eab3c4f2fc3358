import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger, type Sent } from "../../../test/harness.ts";

let ledger: Ledger;
beforeAll(async () => {
  ledger = await freshLedger({ RATE_LIMITS: "true" });
});

/** Sends the same request, many at a time, until one is answered by 429; how many others passed. */
async function untilLimited(path: string, sent: Sent, status: number) {
  for (let passed = 0; passed < 3000; ) {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ledger.request(path, sent)));
    const limited = answers.find((answer) => answer.status === 429);
    passed += answers.filter((answer) => answer.status === status).length;
    const other = answers.filter(({ status: got }) => got !== status && got !== 429);
    expect(await Promise.all(other.map((answer) => answer.text()))).toEqual([]);
    if (limited) return { response: limited, passed };
  }
  throw new Error("thousands of requests, and no limit");
}

describe("rate limits", () => {
  it("stop a key that sends too much, say when to go on, and touch no other", async () => {
    const eager = await ledger.key();
    const calm = await ledger.key();
    const { response, passed } = await untilLimited("/api/me", { key: eager.key }, 200);
    expect(passed).toBeGreaterThanOrEqual(300);
    expect(response.headers.get("Retry-After")).toBe("10");
    expect(response.headers.get("Content-Type")).toContain("application/problem+json");
    expect(await response.json()).toMatchObject({ type: "urn:lora-ledger:too-many-requests" });
    expect(costOf(response).trips).toBe(0);
    await ledger.call("/api/me", { key: calm.key });
  });

  it("stop guessing by address, also where pages sign in, but not the good keys from there", async () => {
    const { key } = await ledger.key();
    const here = { "CF-Connecting-IP": "203.0.113.9" };
    const there = { "CF-Connecting-IP": "203.0.113.10" };
    const guess = { key: `${key}x`, headers: here };
    const { response, passed } = await untilLimited("/api/me", guess, 401);
    expect(passed).toBeGreaterThanOrEqual(60);
    expect(response.headers.get("Retry-After")).toBe("60");
    expect(costOf(response).trips).toBe(0);
    await ledger.call("/api/me", { headers: here }, 429);
    await ledger.call("/session", { json: { key: "guess" }, headers: here }, 429);
    await ledger.call("/api/me", { key, headers: here });
    await ledger.call("/api/me", { key: `${key}x`, headers: there }, 401);
  });
});
