/** Writes the rules of redaction for the Python client, out of src/platform/secrets/rules.ts. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { rules } from "../src/platform/secrets/rules.ts";
import { root } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

export const rulesPath = join(root, "client/src/lora_ledger/core/redact_rules.py");

const WIDTH = 110;

/** Words as a Python string over several lines, which `split()` takes apart. */
function wordList(words: string[]): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || last.length + word.length + 1 > WIDTH) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return `"""${lines.join("\n")}""".split()`;
}

const literal = (value: unknown): string => {
  if (Array.isArray(value))
    return `(${value
      .map((item) => `${literal(item)}, `)
      .join("")
      .trim()})`;
  if (value === null || value === undefined) return "None";
  return typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
};
const rows = (items: unknown[][]) => `(\n${items.map((row) => `    ${literal(row)},\n`).join("")})`;

/** The module's text. */
export function pythonRules(): string {
  const { classes, shapes, webhooks, programs, ...lists } = rules;
  const python = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase();
  return [
    '"""What counts as a secret, the same as for the service. Made by `node scripts/run.mjs redact-rules`; change nothing here."""',
    "",
    ...Object.entries(lists).map(([name, words]) => `${python(name)} = ${wordList(words)}`),
    `WEBHOOKS = ${wordList(webhooks)}`,
    `CLASSES = ${JSON.stringify(classes, null, 4).replace("\n}", ",\n}")}`,
    "# (prefix, characters at least, their class, whether no letter follows)",
    `SHAPES = ${rows(shapes.map(([prefix, min, of, exact]) => [prefix, min, of, exact === 1]))}`,
    "# (program, options, whether the value stands apart, whether it is user:password, its subcommand)",
    `PROGRAMS = ${rows(programs.map((p) => [p.program, p.options, p.form, p.pair ?? false, p.sub]))}`,
    "",
  ].join("\n");
}

if (isMain(import.meta.url))
  await main(async () => {
    writeFileSync(rulesPath, pythonRules());
  });
