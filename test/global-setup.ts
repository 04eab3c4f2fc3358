import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { build } from "../scripts/build.ts";
import { startSqld } from "../scripts/local/sqld.ts";
import { migrate } from "../scripts/migrate.ts";

declare module "vitest" {
  interface ProvidedContext {
    sqldUrl: string;
    sqldAdminUrl: string;
  }
}

/**
 * One real libSQL server for all tests, with a migrated database that each test forks its own from.
 * Databases are told apart by path (/dev/NAME), since nothing resolves NAME.localhost here; the
 * server still wants one named after the Host header.
 */
export default async function setup(project: TestProject) {
  // scripts/test.ts has built by then.
  if (!process.env.LEDGER_BUILT) await build();
  const dataDir = await mkdtemp(join(tmpdir(), "lora-ledger-test-"));
  const sqld = await startSqld({ dataDir, namespaces: true });
  const adminUrl = sqld.adminUrl ?? "";
  for (const name of ["127", "template"])
    await fetch(`${adminUrl}/v1/namespaces/${name}/create`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: "{}",
    });
  await migrate(`${sqld.url}/dev/template/`);
  project.provide("sqldUrl", sqld.url);
  project.provide("sqldAdminUrl", adminUrl);
  return async () => {
    await sqld.stop();
    await rm(dataDir, { recursive: true, force: true });
  };
}
