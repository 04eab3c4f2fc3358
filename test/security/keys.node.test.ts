// Keys that were made before there were scopes to see and revoke keys.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@libsql/client";
import { expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { usualScopes } from "../../src/shared/scopes.ts";

const folder = join(root, "migrations");
const statements = (file: string) =>
  readFileSync(join(folder, file), "utf8").split("--> statement-breakpoint");

it("keep what was usual for their role, and narrow ones gain nothing", async () => {
  const files = readdirSync(folder)
    .filter((file) => file.endsWith(".sql"))
    .sort();
  const at = files.findIndex((file) =>
    readFileSync(join(folder, file), "utf8").includes("keys:read"),
  );
  const home = mkdtempSync(join(tmpdir(), "lora-ledger-scopes-"));
  const client = createClient({ url: `file:${join(home, "ledger.db")}` });
  try {
    await client.migrate(files.slice(0, at).flatMap(statements));
    const former = (role: keyof typeof usualScopes) =>
      usualScopes[role].filter((scope) => !scope.startsWith("keys:"));
    const keys = [
      ["viewer", former("viewer"), true],
      ["member", former("member"), true],
      ["member", [...former("member"), "models:approve"], true],
      ["admin", former("admin"), true],
      ["member", ["tasks:read"], false],
      ["member", former("viewer"), false],
      ["admin", former("member"), false],
      ["admin", ["admin"], false],
      ["member", ["box"], false],
    ] as const;
    for (const [n, [role, scopes]] of keys.entries())
      await client.batch([
        { sql: "insert into user (name, role) values (?, ?)", args: [`user ${n}`, role] },
        {
          sql: "insert into api_key (jti, user_id, name, scopes) select ?, max(id), 'k', ? from user",
          args: [`jti ${n}`, JSON.stringify(scopes)],
        },
      ]);
    await client.migrate(statements(files[at] ?? ""));
    const { rows } = await client.execute("select scopes from api_key order by id");
    expect(rows.map((row) => JSON.parse(String(row.scopes)))).toEqual(
      keys.map(([, scopes, gains]) => (gains ? [...scopes, "keys:read", "keys:write"] : scopes)),
    );
  } finally {
    client.close();
    rmSync(home, { recursive: true, force: true });
  }
});
