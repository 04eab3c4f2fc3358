import { diffLines } from "diff";

const CONTEXT = 3;

/** What was changed between two texts as a unified diff without its head; "" where nothing was. */
export function unifiedDiff(a: string, b: string): string {
  const lines = diffLines(a, b).flatMap(({ value, added, removed }) =>
    value
      .replace(/\n$/, "")
      .split("\n")
      .map((line) => (added ? `+${line}` : removed ? `-${line}` : ` ${line}`)),
  );
  const changed = lines.flatMap((line, n) => (line.startsWith(" ") ? [] : [n]));
  if (changed.length === 0) return "";
  const kept = lines.map((_, n) => changed.some((at) => Math.abs(at - n) <= CONTEXT));
  return lines
    .flatMap((line, n) => (kept[n] ? [line] : kept[n - 1] || n === 0 ? ["@@ … @@"] : []))
    .join("\n");
}
