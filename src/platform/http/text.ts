/** Control characters but tab and line ends, and the code points that are no characters at all. */
const controls = /[^\P{Cc}\t\n\r]|[\ufffe\uffff]/gu;

/** What a JSON text holds where cleaning changes a string of it. */
const mayHoldControls =
  /\\(?:u(?:00[0189]|007[fF]|[dD][89a-fA-F]|[fF]{3}[efEF])|[bf])|[^\P{Cc}\t\n\r]|[\ufffe\uffff]/u;

/** Control characters in a percent-encoded address. */
const encodedControls = /%(?:0[0-8bcef]|1[\da-f]|7f|c2%[89][\da-f]|ef%bf%b[ef])/i;

/** Fields of a body that hold a file, whose text is kept byte for byte. */
const files = ["config", "dataset_file"];

/**
 * Text as it may be stored and shown: half a surrogate pair, which the database refuses, and each
 * control character become U+FFFD. Tabs and line ends stay.
 */
export const cleanText = (text: string): string => text.toWellFormed().replace(controls, "\ufffd");

/** A part of a text, as slice() gives it, without the half of a character that a cut leaves. */
export const cutText = (text: string, from: number, to?: number): string =>
  text
    .slice(from, to)
    .replace(/^[\udc00-\udfff]/, "")
    .replace(/[\ud800-\udbff]$/, "");

/** A value of JSON with all its texts and names clean. */
export function cleanValue(value: unknown): unknown {
  if (typeof value === "string") return cleanText(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(cleanValue);
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [cleanText(name), cleanValue(item)]),
  );
}

/** Whether a JSON text holds what cleaning changes. */
export const isUnclean = (json: string): boolean => mayHoldControls.test(json);

/** JSON.parse with clean texts, but for those of files. Throws SyntaxError. */
export function parseClean(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (!isUnclean(text)) return value;
  const clean = cleanValue(value);
  for (const name of files) {
    const [file, kept] = [member(value, name), member(clean, name)];
    const content = member(file, "text");
    if (typeof content === "string") Object.assign(Object(kept), { text: content.toWellFormed() });
  }
  return clean;
}

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? Reflect.get(value, name)
    : undefined;

/** Whether an address holds control characters, as no honest one does. */
export const hasControls = (url: string): boolean => encodedControls.test(url);
