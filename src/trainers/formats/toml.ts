import { parse, TomlError } from "smol-toml";
import type { JsonValue } from "../../shared/json.ts";
import { ConfigSyntaxError, errorAt, MAX_DEPTH, tooDeep } from "./fault.ts";
import { toPlainJson } from "./plain.ts";

/** Longer numbers are no setting, and turning digits into a number takes more than linear time. */
const hugeNumber = /[\s=[,+-]\d[\dA-Fa-f_xob]{10000}/;

export function parseToml(text: string): JsonValue {
  const huge = hugeNumber.exec(text);
  if (huge) throw errorAt("TOML", "a number has more than 10,000 digits", text, huge.index + 1);
  try {
    return toPlainJson(parse(text, { integersAsBigInt: "asNeeded", maxDepth: MAX_DEPTH }), "TOML");
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const first = (error.message.split("\n")[0] ?? "").replace(/^Invalid TOML document: /, "");
    const reason = /excessively nested/.test(first) ? tooDeep : first;
    const hint = /escape/i.test(reason)
      ? " (in double quotes a backslash starts an escape: write paths with / or in single quotes)"
      : "";
    throw new ConfigSyntaxError("TOML", `${reason}${hint}`, error.line, error.column);
  }
}
