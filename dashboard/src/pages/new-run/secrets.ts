/** In place of a secret that the ledger took out of a file or a command. */
const MARK = "[redacted]";

/** A mark that a box fills: its key, as the file writes it. */
export type Named = { name: string };

/** The variable of a box's environment that fills a key, as the client names it. */
export const variableOf = (name: string): string =>
  (name.split(".").at(-1) ?? "").replace(/^-+/, "").replace(/\W/g, "_").toUpperCase();

const quoted = (text: string) => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** Marks that are the whole value of one of these keys, wherever the key stands in a line. */
const marksOf = (name: string) =>
  new RegExp(`(${quoted(name)}["']?\\s*(?:[=:,]\\s*|\\s)["']?)\\${MARK.slice(0, -1)}\\]`, "g");

/**
 * A text with a random word in the place of each mark that a box fills, so that no `[redacted]` is sent. The
 * ledger takes that word out again, as it does with a secret, and notes the place as one that it made itself.
 */
export function withStandIns(text: string, named: readonly Named[], word: string): string {
  if (!text.includes(MARK)) return text;
  return named.reduce((out, { name }) => out.replace(marksOf(name), `$1${word}`), text);
}

/** The command with such words; a mark ends its word, whose option may be the word before it. */
export const commandWithStandIns = (
  command: readonly string[],
  places: readonly { at: number }[],
  word: string,
): string[] => {
  const at = new Set(places.map((place) => place.at));
  return command.map((one, n) =>
    at.has(n) && one.endsWith(MARK) ? one.slice(0, -MARK.length) + word : one,
  );
};

/** A word that nobody has typed, and that the ledger takes for a secret under a secret's key. */
export const standIn = (): string => crypto.randomUUID().replaceAll("-", "");

/** The lines, from 1, in which a text still holds a mark. */
export const linesWithMarks = (text: string): number[] =>
  text.split("\n").flatMap((line, n) => (line.includes(MARK) ? [n + 1] : []));
