/** Writes what the Python client needs of the catalogue of a run's columns, out of src/shared/run-fields.ts. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runFieldList } from "../src/shared/run-fields.ts";
import { root, Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

const path = join(root, "client/src/lora_ledger/core/run_fields.py");

const literal = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  return typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
};

/** The module's text: the catalogue's lines, without what the pages and the API's description say. */
function pythonFields(): string {
  const lines = runFieldList.map(([name, { label: _, about: __, ...facts }]) => {
    const parts = Object.entries(facts).map(([key, value]) => `"${key}": ${literal(value)}`);
    return `    "${name}": {${parts.join(", ")}},\n`;
  });
  return [
    '"""The columns of a run, the same as for the service, whose src/shared/run-fields.ts says what each word means.\n',
    'Made by `node scripts/run.mjs run-fields`; change nothing here.\n"""\n',
    "from __future__ import annotations\n\nfrom typing import Any\n",
    `RUN_FIELDS: dict[str, dict[str, Any]] = {\n${lines.join("")}}\n`,
  ].join("\n");
}

/** Throws Trouble where the client's module is of another catalogue. */
export async function checkPythonFields() {
  if (readFileSync(path, "utf8") !== pythonFields())
    throw new Trouble(
      `${path} is not of today's catalogue: run \`node scripts/run.mjs run-fields\`.`,
    );
}

if (isMain(import.meta.url))
  await main(async () => {
    writeFileSync(path, pythonFields());
  });
