// The database server of tests and `npm start`.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@libsql/client";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Sqld, startSqld } from "./sqld.ts";

const home = mkdtempSync(join(tmpdir(), "lora-ledger-sqld-"));
let sqld: Sqld;
beforeAll(async () => {
  sqld = await startSqld({ dataDir: join(home, "sqld") });
});
afterAll(async () => {
  await sqld?.stop();
  rmSync(home, { recursive: true, force: true });
});

it("lets many writers at once each have its turn", async () => {
  const [writers, rows] = [64, 50];
  const client = createClient({ url: sqld.url, concurrency: writers });
  try {
    await client.execute("create table written (id integer primary key, text text not null)");
    // Over two pages each: several thousand in all, where sqld by itself would stop every 1,000.
    const sql = `insert into written (text) values ('${"x".repeat(9000)}')`;
    const write = async () => {
      for (let n = 0; n < rows; n++) await client.batch([sql], "write");
    };
    await Promise.all(Array.from({ length: writers }, write));
    const written = await client.execute("select count(*) as n from written");
    expect(written.rows[0]?.n).toBe(writers * rows);
  } finally {
    client.close();
  }
});
