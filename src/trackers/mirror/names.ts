import { cutText } from "../../platform/http/text.ts";

/** MLflow's longest name of a metric, a parameter or a tag. */
const LONGEST_KEY = 250;

/** A short sign of a text, which tells apart names that would become the same (FNV-1a, 32 bits). */
function signOf(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/**
 * A name as MLflow takes it: letters, digits, `_`, `-`, `.`, space, `:` and `/`, at most 250 characters, and
 * a plain relative path. A name that has to change gets a sign of the old one, so that two stay two.
 */
export function cleanKey(name: string): string {
  const clean = name
    .replace(/[^\p{L}\p{N}_\-. :/]/gu, "_")
    .split("/")
    .map((part) => (part === "" || part === "." || part === ".." ? "_" : part))
    .join("/");
  if (clean === name && name.length <= LONGEST_KEY) return name;
  return `${cutText(clean, 0, LONGEST_KEY - 9)}-${signOf(name)}`;
}
