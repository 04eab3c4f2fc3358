// The description of the API is a valid one, by a validator that others wrote.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { describeApi } from "../../scripts/openapi.ts";
import { runProcess } from "../stack.ts";
import { pythonTool } from "./python-tools.ts";

const validator = pythonTool("openapi-spec-validator");

it.skipIf(!validator)("passes openapi-spec-validator", { timeout: 120_000 }, async () => {
  const folder = mkdtempSync(join(tmpdir(), "openapi-"));
  try {
    const file = join(folder, "openapi.json");
    writeFileSync(file, JSON.stringify(await describeApi()));
    const { code, out } = await runProcess(validator ?? "", [file]).ended;
    expect([code, out.trim()]).toEqual([0, `${file}: OK`]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

it("calls flags of a query booleans, and names no pattern that only some dialects read", async () => {
  const document = await describeApi();
  const parameters = Object.values(document.paths).flatMap((item) => item?.get?.parameters ?? []);
  const flags = parameters.filter(
    (p) => "name" in p && ["deleted", "bom", "redirect"].includes(p.name),
  );
  expect(flags.length).toBeGreaterThan(5);
  for (const flag of flags) expect(flag).toMatchObject({ schema: { type: "boolean" } });
  expect(JSON.stringify(document)).not.toContain("\\\\p{");
});
