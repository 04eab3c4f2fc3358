import { parseDocument } from "yaml";

/** A path of a setting in a file: names, and numbers for places in lists. */
export type SettingPath = readonly (string | number)[];

/** The last part of a file that a path leads into by names alone: its TOML section. */
const sectionOf = (path: SettingPath) => path.slice(0, -1).map(String).join(".");

function writeToml(text: string, path: SettingPath, value: string | boolean): string {
  const lines = text.split("\n");
  const section = sectionOf(path);
  const name = String(path.at(-1));
  const written = `${name} = ${JSON.stringify(value)}`;
  const isHead = (line: string) => /^\s*\[/.test(line);
  const headOf = (line: string) => /^\s*\[+\s*([^\]]+?)\s*\]/.exec(line)?.[1] ?? "";
  const start =
    section === "" ? -1 : lines.findIndex((line) => isHead(line) && headOf(line) === section);
  if (section !== "" && start < 0)
    return `${text.replace(/\n*$/, "\n")}\n[${section}]\n${written}\n`;
  const behind = lines.findIndex((line, n) => n > start && isHead(line));
  const end = behind < 0 ? lines.length : behind;
  const at = lines.findIndex(
    (line, n) => n > start && n < end && line.replace(/^\s*/, "").replace(/\s*=.*$/, "") === name,
  );
  if (at >= 0) return lines.with(at, written).join("\n");
  // Behind the last setting of its part, before the blank lines that end it.
  let place = end;
  while (place > start + 1 && lines[place - 1]?.trim() === "") place--;
  return [...lines.slice(0, place), written, ...lines.slice(place)].join("\n");
}

/**
 * Writes one setting into a file: changes it where it is there, else adds it. Comments and the rest stay. Null
 * where the file cannot take it: it does not parse, or the path leads through something that is no section.
 */
export function writeSetting(
  text: string,
  format: "toml" | "yaml" | "json" | "text",
  path: SettingPath,
  value: string | boolean,
): string | null {
  if (format === "text") return null;
  if (format === "toml") return writeToml(text, path, value);
  const document = parseDocument(text);
  if (document.errors.length > 0) return null;
  try {
    document.setIn(path, value);
  } catch {
    // The path leads through a value that is no section.
    return null;
  }
  if (format === "yaml") return document.toString({ lineWidth: 0 });
  return `${JSON.stringify(document.toJS(), null, 4)}\n`;
}
