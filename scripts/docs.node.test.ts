import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  blocksOf,
  commandsOf,
  pageFaults,
  readPages,
  textHash,
  translationFaults,
} from "./docs.ts";
import { root } from "./local/processes.ts";

const fence = "```";
const page = `# Page

${fence}sh
echo one
${fence}

<!-- not run: needs a GPU -->
${fence}sh
echo two
${fence}

1. In a list:

   ${fence}sh
   echo three
     echo indented
   ${fence}

${fence}json
{"a": 1}
${fence}
`;

test("blocks have their line, their text without a list's indent, and why they are not run", () => {
  expect(blocksOf(page)).toEqual([
    { line: 4, language: "sh", text: "echo one\n" },
    { line: 9, language: "sh", text: "echo two\n", notRun: "needs a GPU" },
    { line: 15, language: "sh", text: "echo three\n  echo indented\n" },
    { line: 20, language: "json", text: '{"a": 1}\n' },
  ]);
  expect(commandsOf(page).map(({ line }) => line)).toEqual([4, 15]);
});

describe("faults of pages", () => {
  const translated = (english: string) => `# 页\n\n<!-- made from x.md ${textHash(english)} -->\n`;
  const faultsOf = (text: string) =>
    pageFaults(
      new Map([
        ["docs/x.md", text],
        ["docs/x.zh.md", translated(text)],
      ]),
    );

  test("a page without any", () => {
    expect(faultsOf(`${page}\n[the readme](../README.md), [here](#page)\n`)).toEqual([]);
  });

  test.each([
    [
      "a block without a language",
      `${fence}\necho\n${fence}\n`,
      "x.md:1: name the block's language",
    ],
    ["a shell by another name", `${fence}bash\necho\n${fence}\n`, "x.md:1: name the block's"],
    ["an indented block", "Type:\n\n    echo one\n", "x.md:3: write a fenced block"],
    ["no reason", `<!-- not run:  -->\n${fence}sh\necho\n${fence}\n`, "x.md:2: say why"],
    ["a missing file", "[there](nowhere.md)\n", "nowhere.md is not there"],
    ["a missing heading", "# Here\n\n[there](#there)\n", "#there: that page has no such heading"],
  ])("%s", (_, text, fault) => {
    expect(faultsOf(text)).toEqual([expect.stringContaining(fault)]);
  });

  test("an English page that was changed without its Chinese page is named", () => {
    const pages = new Map([
      ["README.md", "new"],
      ["README.zh-CN.md", translated("old")],
      ["docs/a.md", "same  \r\n"],
      ["docs/a.zh.md", translated("same\n")],
      ["docs/b.md", "alone"],
      ["docs/c.zh.md", translated("gone")],
      ["docs/decisions/1.md", "English only"],
    ]);
    expect(translationFaults(pages)).toEqual([
      expect.stringMatching(/^README\.md was changed, README\.zh-CN\.md was not: /),
      "docs/b.md has no Chinese page, docs/b.zh.md",
      "docs/c.zh.md: no English page belongs to it",
    ]);
  });

  test("the repository's pages have none", () => {
    expect(pageFaults(readPages())).toEqual([]);
  });
});

describe("the pages name", () => {
  const pages = [...readPages().values()].join("\n");
  const missing = (names: string[]) => {
    expect(names.length).toBeGreaterThan(5);
    return names.filter((name) => !new RegExp(`(?<![\\w-])${name}(?![\\w-])`).test(pages));
  };
  const text = (path: string) => readFileSync(join(root, path), "utf8");

  test("every setting of the Worker", () => {
    const [, variables = ""] = text("src/env.ts").split("z.object({");
    const names = [...(variables.split("\n});")[0] ?? "").matchAll(/^ {2}([A-Z][A-Z0-9_]+):/gm)];
    expect(missing(names.map(([, name = ""]) => name))).toEqual([]);
  });

  test("every npm command", () => {
    const names = Object.keys(JSON.parse(text("package.json")).scripts);
    const commands = names.map((name) => (/^(?:start|test)$/.test(name) ? name : `run ${name}`));
    expect(missing(commands.map((command) => `npm ${command}`))).toEqual([]);
  });

  test("every command of the client", () => {
    const help = execFileSync("python3", ["-m", "lora_ledger", "--help"], {
      env: { ...process.env, PYTHONPATH: join(root, "client/src"), COLUMNS: "100" },
      encoding: "utf8",
    });
    const names = [...help.matchAll(/^ {4}([a-z]+)(?= |$)/gm)].map(([, name = ""]) => name);
    expect(missing(names.map((name) => `(?:lora-ledger|ledger\\.py) ${name}`))).toEqual([]);
  });
});
