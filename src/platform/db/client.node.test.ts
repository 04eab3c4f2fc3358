import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { sql } from "drizzle-orm";
import { expect, it } from "vitest";
import type { Config } from "../../env.ts";
import { DatabaseUnreachable, openDb } from "./client.ts";

it("counts as away where the connection is lost within an answer", async () => {
  const server = createServer((_, response) => {
    response.writeHead(200, { "Content-Type": "application/json", "Content-Length": "100" });
    response.write("{", () => response.destroy());
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address() as AddressInfo;
  const db = openDb({ DATABASE_URL: `http://127.0.0.1:${port}` } as Config);
  try {
    const fault = await db.all(sql`select 1`).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect((fault as Error).cause ?? fault).toBeInstanceOf(DatabaseUnreachable);
  } finally {
    db.$client.close();
    server.close();
  }
});
