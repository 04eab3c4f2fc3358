import * as z from "zod";
import { redactText } from "../platform/secrets/redact.ts";

/** Words that routes use in the place of a model's name or an alias. */
const routeWords = new Set([
  "aliases",
  "card",
  "compare",
  "download",
  "history",
  "latest",
  "new",
  "none",
  "reviews",
  "rollback",
  "search",
  "shares",
  "versions",
]);

/** The key of a name: names that differ only in case or separators are the same name. */
export const nameKey = (text: string) => text.toLowerCase().replace(/[._-]+/g, "-");

/** The first character that a name may not hold, as a person can find it. */
function firstForbidden(text: string): string | null {
  const char = text.match(/[^A-Za-z0-9._-]/u)?.[0];
  if (char === undefined) return null;
  const code = `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(char) ? `${char} (${code})` : code;
}

/** Refuses names that are not plain; look-alikes of Latin letters are named by their code. */
const plainName = (most: number) =>
  z.string().superRefine((text, ctx) => {
    const refuse = (message: string) => ctx.addIssue({ code: "custom", message });
    const char = firstForbidden(text);
    if (text === "" || text.length > most) refuse(`must have 1 to ${most} characters`);
    else if (char !== null)
      refuse(`may hold Latin letters, digits, \`.\`, \`_\` and \`-\` only, not ${char}`);
    else if (!/^[A-Za-z0-9].*[A-Za-z0-9]$|^[A-Za-z0-9]$/.test(text))
      refuse("must begin and end with a letter or digit");
    else if (/^[\d._-]+$/.test(text)) refuse("must hold a letter, so that it is no number");
    else if (routeWords.has(nameKey(text))) refuse("is a word of the API itself; choose another");
    else if (redactText(text, "name").text !== text)
      refuse("looks like a secret, which no name may hold");
  });

/** A model's name: ASCII alone, so that no two names look alike without being alike. */
export const modelName = plainName(100).describe(
  "Latin letters, digits, `.`, `_` and `-`; unique regardless of case and separators.",
);

/** An alias, in small letters. */
export const aliasName = plainName(50)
  .transform((text) => text.toLowerCase())
  .describe("Such as `production` or `staging`; neither a number nor a word of the API.");

const versionNumber = z
  .string()
  .regex(/^[1-9]\d{0,8}$/, "must be a version's number")
  .transform(Number);

export const modelParam = z.object({ name: modelName });
export const versionParam = z.object({ name: modelName, number: versionNumber });
export const aliasParam = z.object({ name: modelName, alias: aliasName });

/** An alias, or the number of a version. */
export const refParam = z.object({
  name: modelName,
  ref: z.union([versionNumber, aliasName], {
    error: "must be an alias or a version's number",
  }),
});
