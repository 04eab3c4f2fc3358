/**
 * The pages that people read: their commands, their links, and which Chinese page follows which English one.
 * `npm run check` refuses what is wrong, and test/docs.node.test.ts runs the commands.
 * `npm run docs -- renew [PAGE…]` notes that Chinese pages agree with the present text of their English pages.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { root, Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

/** Languages of blocks that are commands, and of blocks that only show something. */
const commands = ["sh", "python"];
const shown = ["mermaid", "toml", "yaml", "json", "text", "ts", "sql"];

const README_LINES = 120;

/** English pages without a Chinese one: for people who change the code or write clients, or made by a command. */
const englishOnly = [
  /^CHANGELOG\.md$/,
  /^CONTRIBUTING\.md$/,
  /^SECURITY\.md$/,
  /^docs\/(?:contract|pages-in-pictures)\.md$/,
  /^docs\/(?:decisions|screenshots)\//,
  /^client\//,
  /^examples\//,
  /^\.github\//,
];

/** All pages, by their paths in the repository. */
export function readPages(): Map<string, string> {
  const inFolder = (folder: string) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) =>
      posix.join(folder, name.replaceAll("\\", "/")),
    );
  const paths = [
    ...readdirSync(root),
    ...["docs", "examples", ".github"].flatMap((folder) =>
      existsSync(join(root, folder)) ? inFolder(folder) : [],
    ),
    "client/README.md",
  ];
  return new Map(
    paths
      .filter((path) => path.endsWith(".md"))
      .sort()
      .map((path) => [path, readFileSync(join(root, path), "utf8")]),
  );
}

export type Block = {
  /** The line on which the text begins, counted from 1. */
  line: number;
  language: string;
  text: string;
  /** Why a command is not run by the tests. */
  notRun?: string;
};

/** The fenced blocks of a page, in its order. */
export function blocksOf(text: string): Block[] {
  const blocks: Block[] = [];
  let open: (Block & { indent: number; fence: string }) | undefined;
  let before = "";
  for (const [index, line] of text.split("\n").entries()) {
    const [, indent = "", fence = "", language = ""] = /^(\s*)(`{3,})\s*(\S*)/.exec(line) ?? [];
    if (open && fence.startsWith(open.fence) && !language) {
      const { indent: _, fence: __, ...block } = open;
      blocks.push(block);
      open = undefined;
    } else if (open) open.text += `${line.slice(Math.min(open.indent, line.search(/\S|$/)))}\n`;
    else if (fence) {
      const notRun = /^\s*<!-- not run: (.*) -->$/.exec(before)?.[1];
      open = { line: index + 2, language, text: "", indent: indent.length, fence };
      if (notRun !== undefined) open.notRun = notRun;
    }
    if (line.trim()) before = line;
  }
  return blocks;
}

/** The commands of a page that the tests run. */
export const commandsOf = (text: string) =>
  blocksOf(text).filter(
    ({ language, notRun }) => commands.includes(language) && notRun === undefined,
  );

/** What is wrong with the blocks of a page: commands that no test would see. */
function blockFaults(path: string, text: string): string[] {
  const faults: string[] = [];
  for (const { line, language, notRun } of blocksOf(text)) {
    if (![...commands, ...shown].includes(language))
      faults.push(
        `${path}:${line - 1}: name the block's language: ${commands.join(" or ")} for commands, else ${shown.join(", ")}`,
      );
    if (notRun !== undefined && notRun.trim().length < 3)
      faults.push(`${path}:${line - 1}: say why the block is not run`);
  }
  const lines = withoutBlocks(text).split("\n");
  for (const [index, line] of lines.entries()) {
    const above = lines.slice(0, index).findLast((one) => one.trim());
    const inList = above !== undefined && /^\s+\S|^(?:[-*]|\d+\.) /.test(above);
    if (/^ {4}\S/.test(line) && !lines[index - 1]?.trim() && !inList)
      faults.push(`${path}:${index + 1}: write a fenced block, so that its commands are seen`);
  }
  return faults;
}

/** The page with empty lines where its blocks are. */
function withoutBlocks(text: string): string {
  let fence = "";
  return text
    .split("\n")
    .map((line) => {
      const found = /^\s*(`{3,})\s*(\S*)/.exec(line);
      const marks = found?.[1] ?? "";
      if (fence) {
        if (marks.startsWith(fence) && !found?.[2]) fence = "";
        return "";
      }
      fence = marks;
      return fence ? "" : line;
    })
    .join("\n");
}

/** The anchors that GitHub gives a page's headings. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutBlocks(text).matchAll(/^#+ +(.*)$/gm)) {
    const plain = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(/\s/g, "-");
    let anchor = plain;
    for (let n = 1; anchors.has(anchor); n++) anchor = `${plain}-${n}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** Links of a page to files, or to headings of pages, that are not there. */
function linkFaults(path: string, text: string, pages: ReadonlyMap<string, string>): string[] {
  const prose = withoutBlocks(text).replaceAll(/`[^`\n]*`/g, "");
  const targets = [
    ...[...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target),
    ...[...prose.matchAll(/\b(?:src|href)="([^"]+)"/g)].map(([, target = ""]) => target),
  ];
  return targets.flatMap((target) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [file = "", anchor] = target.split("#");
    const to = file ? posix.join(posix.dirname(path), file) : path;
    if (!pages.has(to) && !existsSync(join(root, to))) return [`${path}: ${target} is not there`];
    const page = pages.get(to);
    if (anchor && page !== undefined && !anchorsOf(page).has(decodeURIComponent(anchor)))
      return [`${path}: ${target}: that page has no such heading`];
    return [];
  });
}

/** The path of an English page's Chinese page. */
export const chineseOf = (path: string) =>
  path === "README.md" ? "README.zh-CN.md" : path.replace(/\.md$/, ".zh.md");
const isChinese = (path: string) => /\.zh(?:-CN)?\.md$/.test(path);

/** What stands for an English text in the last line of its Chinese page. Spaces at line ends do not count. */
export const textHash = (text: string) =>
  createHash("sha256")
    .update(`${text.replaceAll(/[ \t\r]+$/gm, "").trim()}\n`)
    .digest("hex")
    .slice(0, 12);

const madeFrom = /\n<!-- made from (\S+) (\w+) -->\n*$/;
const noteFor = (path: string, english: string) =>
  `\n<!-- made from ${posix.basename(path)} ${textHash(english)} -->\n`;

/** English pages whose Chinese page is missing, or was made from another text. */
export function translationFaults(pages: ReadonlyMap<string, string>): string[] {
  return [...pages].flatMap(([path, english]) => {
    if (isChinese(path)) {
      const hasEnglish = [...pages.keys()].some((other) => chineseOf(other) === path);
      return hasEnglish ? [] : [`${path}: no English page belongs to it`];
    }
    if (englishOnly.some((pattern) => pattern.test(path))) return [];
    const chinese = pages.get(chineseOf(path));
    if (chinese === undefined) return [`${path} has no Chinese page, ${chineseOf(path)}`];
    if (madeFrom.exec(chinese)?.[2] === textHash(english)) return [];
    return [
      `${path} was changed, ${chineseOf(path)} was not: bring it up to date, then \`npm run docs -- renew ${path}\``,
    ];
  });
}

/** All that is wrong with the pages. */
export function pageFaults(pages: ReadonlyMap<string, string>): string[] {
  const readme = (pages.get("README.md") ?? "").trimEnd().split("\n").length;
  return [
    ...(readme > README_LINES ? [`README.md has ${readme} lines, at most ${README_LINES}`] : []),
    ...[...pages].flatMap(([path, text]) => [
      ...blockFaults(path, text),
      ...linkFaults(path, text, pages),
    ]),
    ...translationFaults(pages),
  ];
}

if (isMain(import.meta.url))
  await main(async () => {
    const [action, ...wanted] = process.argv.slice(2);
    if (action !== "renew")
      throw new Trouble("Usage: npm run docs -- renew [PAGE…]    (without pages: all)");
    const pages = readPages();
    const paths = wanted.map((path) => relative(root, join(process.cwd(), path)));
    const unknown = paths.filter((path) => !pages.has(path) || isChinese(path));
    if (unknown.length) throw new Trouble(`No English page: ${unknown.join(", ")}`);
    for (const [path, english] of pages) {
      const chinese = pages.get(chineseOf(path));
      if (isChinese(path) || chinese === undefined) continue;
      if (paths.length && !paths.includes(path)) continue;
      const renewed = `${chinese.replace(madeFrom, "").trimEnd()}\n${noteFor(path, english)}`;
      if (renewed === chinese) continue;
      writeFileSync(join(root, dirname(path), posix.basename(chineseOf(path))), renewed);
      console.log(`${chineseOf(path)} is made from the present ${path}`);
    }
  });
