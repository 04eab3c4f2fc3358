/** Writes what the Python client reads of the built-in dialects that are tables, out of src/trainers/declarations/. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { declarations } from "../src/trainers/declarations/index.ts";
import { root, Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

const path = join(root, "client/src/lora_ledger/trainers/declarations.py");

/** JSON as Python writes it; the strings are the same in both. */
const literal = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const parts = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${JSON.stringify(key)}: ${literal(item)}`);
  return `{${parts.join(", ")}}`;
};

/** The module's text: of each table what recognises a launch, and what its console and files look like. */
function pythonDeclarations(): string {
  const tables = declarations.map(({ name, recognise, within, console, files }) => {
    const parts = Object.entries({ name, recognise, within, console, files })
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => `        ${JSON.stringify(key)}: ${literal(value)},\n`);
    return `    {\n${parts.join("")}    },\n`;
  });
  return [
    '"""The dialects that are tables, the same as for the service, whose src/trainers/declarations/form.ts says what the words mean.\n',
    'Made by `node scripts/run.mjs declarations`; change nothing here.\n"""\n',
    "from __future__ import annotations\n\nfrom typing import Any\n",
    `DECLARATIONS: list[dict[str, Any]] = [\n${tables.join("")}]\n`,
  ].join("\n");
}

/** Throws Trouble where the client's module is of other tables. */
export async function checkPythonDeclarations() {
  if (readFileSync(path, "utf8") !== pythonDeclarations())
    throw new Trouble(
      `${path} is not of today's tables: run \`node scripts/run.mjs declarations\`.`,
    );
}

if (isMain(import.meta.url))
  await main(async () => {
    writeFileSync(path, pythonDeclarations());
  });
