import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { pythonRules, rulesPath } from "../../scripts/redact-rules.ts";
import { redactCommand, redactConfig, redactText } from "../../src/secrets/redact.ts";
import lists from "./secrets.json" with { type: "json" };

it("gives the client the service's rules", () => {
  expect(
    readFileSync(rulesPath, "utf8") === pythonRules(),
    "`node scripts/run.mjs redact-rules` brings the client's up to date",
  ).toBe(true);
});

const program = `
import json, sys
from lora_ledger.redact import redact_command, redact_config, redact_text
texts, commands = json.load(sys.stdin)
print(json.dumps([
    [redact_text(text) for text in texts],
    [redact_config(text.encode()).decode() for text in texts],
    [redact_command(command) for command in commands],
]))
`;

it("has the client replace the same parts of texts, files and commands as the service does", () => {
  const entries: { text?: string; argv?: string[] }[] = [...lists.secrets, ...lists.lookalikes];
  const texts = entries.flatMap(({ text, argv }) => text ?? argv?.join(" ") ?? []);
  const commands = entries.flatMap(({ argv }) => (argv ? [argv] : []));
  const python = spawnSync("python3", ["-c", program], {
    cwd: root,
    env: { ...process.env, PYTHONPATH: join(root, "client/src") },
    input: JSON.stringify([texts, commands]),
    encoding: "utf8",
  });
  expect(python.stderr).toBe("");
  const config = (text: string) =>
    new TextDecoder().decode(redactConfig(new TextEncoder().encode(text)).bytes);
  expect(JSON.parse(python.stdout)).toEqual([
    texts.map((text) => redactText(text, "").text),
    texts.map(config),
    commands.map((argv) => redactCommand(argv).command),
  ]);
});
