import type { JsonValue } from "../shared/json.ts";
import { ConfigSyntaxError } from "./formats/fault.ts";
import { parseJson } from "./formats/json.ts";
import { isObject, lookUp } from "./formats/objects.ts";
import { parseToml } from "./formats/toml.ts";
import { parseYaml } from "./formats/yaml.ts";

export type ConfigFormat = "toml" | "yaml" | "json" | "text";

const parsers = { toml: parseToml, yaml: parseYaml, json: parseJson };

/** Parses a text of a known format. Throws ConfigSyntaxError with line and column. */
export const parseAs = (format: Exclude<ConfigFormat, "text">, text: string): JsonValue =>
  parsers[format](text);

/** No trainer's file comes near these lengths; YAML is by far the slowest to parse. */
export const MAX_PARSED = 500_000;
export const MAX_YAML = 100_000;

const extensions: Record<string, Exclude<ConfigFormat, "text">> = {
  toml: "toml",
  yaml: "yaml",
  yml: "yaml",
  json: "json",
};

/** The share of lines that match. */
const shareOf = (lines: string[], pattern: RegExp) =>
  lines.length === 0 ? 0 : lines.filter((line) => pattern.test(line)).length / lines.length;

/**
 * Parses a text whose format is only hinted at, or not at all: by its file name, else by trying.
 * A text that is plainly TOML, YAML or JSON and broken is a ConfigSyntaxError; one that is none
 * of them, or is said to be just text, has the format "text" and no value. Nor has a text that is
 * longer than MAX_PARSED, or MAX_YAML where it is no TOML or JSON.
 */
export function parseConfig(
  text: string,
  format: ConfigFormat | undefined,
  path: string | undefined,
): { format: ConfigFormat; value: JsonValue } {
  if (format === "text") return { format, value: null };
  const extension = /\.(\w+)$/.exec(path ?? "")?.[1]?.toLowerCase() ?? "";
  const known = format ?? lookUp(extensions, extension);
  if (text.length > (known === "yaml" ? MAX_YAML : MAX_PARSED))
    return { format: known ?? "text", value: null };
  if (known) return { format: known, value: parseAs(known, text) };

  const trimmed = text.trim();
  if (trimmed === "") return { format: "text", value: null };
  if (/^[{[]/.test(trimmed)) {
    const json = attempt("json", text);
    if (!(json instanceof ConfigSyntaxError)) return { format: "json", value: json };
    if (looksLikeObject(trimmed)) throw json;
  }
  const toml = attempt("toml", text);
  if (!(toml instanceof ConfigSyntaxError)) {
    // A file of comments alone is TOML and YAML, and no config.
    if (isObject(toml) && Object.keys(toml).length > 0) return { format: "toml", value: toml };
    return { format: "text", value: null };
  }
  const lines = trimmed.split("\n").filter((line) => /^\s*[^\s#]/.test(line));
  if (shareOf(lines, /^\s*(?:[\w."'-]+\s*=|\[\[?[\w."' -]+\]\]?\s*(?:#|$))/) > 0.5) throw toml;
  if (text.length > MAX_YAML) return { format: "text", value: null };
  const yaml = attempt("yaml", text);
  if (!(yaml instanceof ConfigSyntaxError))
    return isObject(yaml) ? { format: "yaml", value: yaml } : { format: "text", value: null };
  if (lines.length > 2 && shareOf(lines, /^\s*(?:- )?[\w."'-]+:(?:\s|$)/) > 0.8) throw yaml;
  return { format: "text", value: null };
}

/** Whether a text between braces has a quoted key somewhere: broken JSON rather than anything else. */
function looksLikeObject(text: string): boolean {
  if (!text.startsWith("{") || !text.endsWith("}")) return false;
  for (let colon = text.indexOf(":"); colon !== -1; colon = text.indexOf(":", colon + 1)) {
    let before = colon - 1;
    while (/\s/.test(text.charAt(before))) before--;
    if (text[before] === '"') return true;
  }
  return false;
}

function attempt(format: Exclude<ConfigFormat, "text">, text: string) {
  try {
    return parseAs(format, text);
  } catch (error) {
    if (error instanceof ConfigSyntaxError) return error;
    throw error;
  }
}
