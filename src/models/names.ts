import * as z from "zod";
import { redactText } from "../platform/secrets/redact.ts";

/** Words that routes use where a model's name or an alias may stand. */
const routeWords = new Set(
  "aliases card compare download history latest new none reviews rollback search shares versions".split(
    " ",
  ),
);

const look = (text: string) => text.toLowerCase().replace(/[._-]+/g, "-");

/** The first character that a name may not hold, as a person can find it. */
function strange(text: string): string | null {
  const char = text.match(/[^A-Za-z0-9._-]/u)?.[0];
  if (char === undefined) return null;
  const code = `U+${(char.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
  return /[\p{L}\p{N}\p{P}\p{S}]/u.test(char) ? `${char} (${code})` : code;
}

/** Refuses what is no plain name; look-alikes of Latin letters are named by their code. */
const plainName = (most: number) =>
  z.string().superRefine((text, ctx) => {
    const refuse = (message: string) => ctx.addIssue({ code: "custom", message });
    const char = strange(text);
    if (text === "" || text.length > most) refuse(`must have 1 to ${most} characters`);
    else if (char !== null)
      refuse(`may hold Latin letters, digits, \`.\`, \`_\` and \`-\` only, not ${char}`);
    else if (!/^[A-Za-z0-9].*[A-Za-z0-9]$|^[A-Za-z0-9]$/.test(text))
      refuse("must begin and end with a letter or digit");
    else if (/^[\d._-]+$/.test(text)) refuse("must hold a letter, so that it is no number");
    else if (routeWords.has(look(text))) refuse("is a word of the API itself; choose another");
    else if (redactText(text, "name").text !== text)
      refuse("looks like a secret, which no name may hold");
  });

/** A model's name: ASCII alone, so that no two names look alike without being alike. */
export const modelName = plainName(100).describe(
  "Latin letters, digits, `.`, `_` and `-`; unique whatever the case and the separators.",
);

/** An alias, in small letters. */
export const aliasName = plainName(50)
  .transform((text) => text.toLowerCase())
  .describe("Such as `production` or `staging`; no number and no word of the API.");

/** What a name reads as: names that differ in case or separators alone are the same name. */
export const nameKey = look;

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
