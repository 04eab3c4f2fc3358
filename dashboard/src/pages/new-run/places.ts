/** A place in a file that something is said of; lines and columns count from 1. */
export type Place = { line: number; column: number; message: string; bad: boolean };

const faultAt = /^config \(line (\d+), column (\d+)\)$/;

/** The places that faults of a refused file name. */
export const placesOfFaults = (faults: readonly { path?: string; message?: string }[]): Place[] =>
  faults.flatMap(({ path, message }) => {
    const at = faultAt.exec(path ?? "");
    return at
      ? [{ line: Number(at[1]), column: Number(at[2]), message: message ?? "", bad: true }]
      : [];
  });

/** Where a setting is written: the first line that begins with the last part of its path. */
export function lineOf(text: string, path: string): number | null {
  const name = /[^.\]]+$/.exec(path.replace(/ \(line \d+\)$/, ""))?.[0];
  const said = / \(line (\d+)\)$/.exec(path)?.[1];
  if (said) return Number(said);
  if (!name) return null;
  const at = text.split("\n").findIndex((line) => {
    const words = line.replace(/^[\s\-{,"']+/, "");
    return words.startsWith(name) && /^["']?\s*[=:]/.test(words.slice(name.length));
  });
  return at < 0 ? null : at + 1;
}

/** The places of warnings that name a setting which the text has. */
export const placesOfWarnings = (
  text: string,
  warnings: readonly { message: string; path?: string }[],
): Place[] =>
  warnings.flatMap(({ message, path }) => {
    const line = path === undefined ? null : lineOf(text, path);
    return line === null ? [] : [{ line, column: 1, message, bad: false }];
  });
