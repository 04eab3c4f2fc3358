/** Writes src/trainers/templates.json: a configuration for each trainer and architecture, by the client's own makers. */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root, Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

const made = join(root, "src/trainers/templates.json");

/** One template a line, so that a change of one maker is a change of its lines. */
function makeTemplates(): string {
  const python = process.env.PYTHON ?? "python3";
  const { status, stdout, stderr } = spawnSync(
    python,
    [join(root, "scripts/config-templates.py")],
    { encoding: "utf8", maxBuffer: 16_000_000, env: { ...process.env, LC_ALL: "C.UTF-8" } },
  );
  if (status !== 0 || stderr) throw new Trouble(`The templates could not be made: ${stderr}`);
  return `[\n${stdout.trim().split("\n").join(",\n")}\n]\n`;
}

/** Throws Trouble where the templates are not those of today's client. */
export async function checkTemplates() {
  if (readFileSync(made, "utf8") !== makeTemplates())
    throw new Trouble(
      "src/trainers/templates.json is not of today's client: run `node scripts/run.mjs templates`.",
    );
}

if (isMain(import.meta.url)) await main(async () => writeFileSync(made, makeTemplates()));
