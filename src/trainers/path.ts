const isSlash = (unit: string | undefined) => unit === "/" || unit === "\\";

/** The last part of a path of any system. */
export function basename(path: string): string {
  let to = path.length;
  while (isSlash(path[to - 1])) to--;
  let from = to;
  while (from > 0 && !isSlash(path[from - 1])) from--;
  return path.slice(from, to);
}

export const stem = (path: string): string => basename(path).replace(/\.\w{1,12}$/, "");
