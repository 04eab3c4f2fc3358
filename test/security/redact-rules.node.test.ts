import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { pythonRules, rulesPath } from "../../scripts/redact-rules.ts";
import { redactCommand, redactConfig, redactText } from "../../src/platform/secrets/redact.ts";
import lists from "./secrets.json" with { type: "json" };
import more from "./secrets-more.json" with { type: "json" };

it("gives the client the service's rules", () => {
  expect(
    readFileSync(rulesPath, "utf8") === pythonRules(),
    "`node scripts/run.mjs redact-rules` brings the client's up to date",
  ).toBe(true);
});

const program = `
import json, sys
from lora_ledger.core.redact import redact_command, redact_config, redact_text
texts, commands = json.load(sys.stdin)
print(json.dumps([
    [redact_text(text) for text in texts],
    [redact_config(text.encode()).decode() for text in texts],
    [redact_command(command) for command in commands],
]))
`;

it("has the client replace the same parts of texts, files and commands as the service does", () => {
  const entries: { text?: string; argv?: string[] }[] = [
    ...lists.secrets,
    ...lists.lookalikes,
    ...more.secrets,
    ...more.lookalikes,
  ];
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

type Entry = { channel: string; text?: string; argv?: string[]; secret?: string };

/** What is kept of an entry of the second list. */
function kept({ channel, text = "", argv }: Entry): string {
  if (argv) return JSON.stringify(redactCommand(argv).command);
  if (channel === "log") return redactText(text, "").text;
  return new TextDecoder().decode(redactConfig(new TextEncoder().encode(text)).bytes);
}

it("finds 92 % of a second list, and touches 2 % of its look-alikes at most", () => {
  const secrets: Entry[] = more.secrets;
  const others: Entry[] = more.lookalikes;
  const missed = secrets.filter((entry) => kept(entry).includes(entry.secret ?? ""));
  const touched = others.filter(
    (entry) => kept(entry) !== (entry.text ?? JSON.stringify(entry.argv)),
  );
  console.info(
    `second list: redacted ${secrets.length - missed.length} of ${secrets.length}; touched ${touched.length} of ${others.length}`,
  );
  expect(missed.length, missed.map(kept).join("\n")).toBeLessThanOrEqual(secrets.length * 0.08);
  expect(touched.length, touched.map(kept).join("\n")).toBeLessThanOrEqual(others.length * 0.02);
});
