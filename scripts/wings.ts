/**
 * The order of the house (docs/architecture.md), as far as imports and statements show it. `npm run check`
 * refuses what breaks it; the list of exceptions below may only become shorter.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { parseSync } from "rolldown/utils";
import { root } from "./local/processes.ts";
import { isMain } from "./local/say.ts";

/** Wings from the ground up. A wing imports what is below it, and itself; never a neighbour. */
export const floors: readonly (readonly string[])[] = [
  ["shared"],
  ["env", "version"],
  ["platform"],
  ["trainers", "metrics", "files", "alerts"],
  ["runs"],
  ["queue", "models", "reports"],
  ["trackers"],
  ["app", "schedule"],
  ["index"],
];

/** Which wing alone writes a table. */
const owners: Record<string, string> = {
  training_task: "runs",
  task_attempt: "runs",
  weight: "files",
  stored_object: "files",
};

/** What the order does not allow and still is: `from -> to`, `file writes table`, or `file batches by itself`. */
export const exceptions: readonly string[] = [];

/** The wing of a path below src/: its folder, or a file's own name at the top. */
const wingOf = (path: string) => path.split("/")[0]?.replace(/\.ts$/, "") ?? "";
const floorOf = (wing: string) => floors.findIndex((wings) => wings.includes(wing));

const tables = Object.keys(owners).map((name) => ({
  name,
  // As SQL, and as drizzle spells it.
  writes: new RegExp(
    `\\b(?:insert(?: or \\w+)? into|replace into|update|delete from)\\s+"?${name}"?\\b|\\.(?:insert|update|delete)\\(\\s*${name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())}\\s*\\)`,
    "i",
  ),
}));

/** The file that brings the routes of a tracker's protocol together, which bears its folder's name. */
const mainRoutes = (path: string) =>
  /^trackers\/[^/]+\//.test(path)
    ? `${posix.dirname(path)}/${posix.basename(posix.dirname(path))}.routes.ts`
    : null;

const withoutComments = (text: string) => text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");

/** What breaks the order, one sentence each. `sources` are the texts of src/ by path, without tests. */
export function wingFaults(
  sources: ReadonlyMap<string, string>,
  allowed: readonly string[] = exceptions,
): string[] {
  const faults: string[] = [];
  const seen = new Set<string>();
  const fault = (key: string, text: string) =>
    allowed.includes(key) ? seen.add(key) : faults.push(text);
  for (const [path, text] of sources) {
    const wing = wingOf(path);
    const floor = floorOf(wing);
    if (floor < 0) {
      faults.push(`src/${path}: ${wing} is no wing of the house`);
      continue;
    }
    const { module } = parseSync(path, text);
    const imported = [
      ...module.staticImports.map((one) => one.moduleRequest.value),
      ...module.staticExports.flatMap((one) =>
        one.entries.flatMap((entry) => entry.moduleRequest?.value ?? []),
      ),
    ];
    for (const name of new Set(imported)) {
      if (!name.startsWith(".")) {
        if (wing === "shared" && name !== "zod")
          faults.push(`src/${path} imports ${name}; shared/ imports zod alone`);
        continue;
      }
      const target = posix.join(dirname(path), name);
      const to = wingOf(target);
      if (target.startsWith("..")) faults.push(`src/${path} imports ${name}, outside src/`);
      else if (to !== wing && floorOf(to) >= floor)
        fault(`${path} -> ${target}`, `src/${path} imports src/${target}: ${wing} is below ${to}`);
      if (/\.routes\.ts$/.test(target) && path !== "app.ts" && path !== mainRoutes(target))
        fault(
          `${path} -> ${target}`,
          `src/${path} imports src/${target}: only app.ts imports routes`,
        );
    }
    if (/\bnew Hono\b/.test(text) && path !== "app.ts" && !/\.routes\.ts$/.test(path))
      faults.push(`src/${path} has routes; their files end in .routes.ts`);
    // What a batch's statement depends on is named by chain(): see platform/db/batch.ts.
    if (path !== "platform/db/batch.ts" && /\.batch\(|\bchanges\(\)/.test(withoutComments(text)))
      fault(`${path} batches by itself`, `src/${path} batches by itself: chain() names statements`);
    for (const { name, writes } of tables)
      if (owners[name] !== wing && writes.test(text))
        fault(
          `${path} writes ${name}`,
          `src/${path} writes ${name}: only src/${owners[name]}/ does`,
        );
  }
  for (const key of allowed)
    if (!seen.has(key)) faults.push(`scripts/wings.ts: the exception "${key}" is no longer one`);
  return faults;
}

/** A file's folder; a file at the top is a room of its own. */
const roomOf = (path: string) => (path.includes("/") ? dirname(path) : path);

/**
 * Rooms (folders with sources) and the arrows between them: pairs of rooms of which one imports the other. An arrow
 * back is one of a circle.
 */
export function countArrows(sources: ReadonlyMap<string, string>) {
  const arrows = new Map<string, Set<string>>();
  for (const [path, text] of sources) {
    const from = roomOf(path);
    const to = arrows.get(from) ?? new Set();
    arrows.set(from, to);
    for (const { moduleRequest } of parseSync(path, text).module.staticImports) {
      const room = roomOf(posix.join(dirname(path), moduleRequest.value));
      if (moduleRequest.value.startsWith(".") && room !== from && !room.startsWith(".."))
        to.add(room);
    }
  }
  const reaches = (from: string, to: string, seen = new Set<string>()): boolean =>
    [...(arrows.get(from) ?? [])].some(
      (next) => next === to || (!seen.has(next) && reaches(next, to, seen.add(next))),
    );
  const pairs = [...arrows].flatMap(([from, all]) => [...all].map((to) => [from, to] as const));
  return {
    rooms: arrows.size,
    arrows: pairs.length,
    back: pairs.filter(([from, to]) => reaches(to, from)).map((pair) => pair.join(" -> ")),
  };
}

/** The texts of src/ by path below it, without tests. */
export function readSources(src = join(root, "src")): Map<string, string> {
  const paths = readdirSync(src, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.endsWith(".ts") && !path.endsWith(".test.ts"));
  return new Map(paths.map((path) => [path, readFileSync(join(src, path), "utf8")]));
}

// `node scripts/run.mjs wings [FOLDER]`: the count, of another tree's src/ too.
if (isMain(import.meta.url)) {
  const { rooms, arrows, back } = countArrows(readSources(process.argv[2]));
  console.log(`${rooms} rooms, ${arrows} arrows between them, ${back.length} of them in circles`);
  for (const arrow of back) console.log(`  ${arrow}`);
}
