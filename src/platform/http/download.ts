import { refuse } from "./problem.ts";

/** RFC 6266 with RFC 8187's encoding; the plain name is for clients that know only that. */
export function contentDisposition(kind: "attachment" | "inline", filename: string): string {
  const name = filename.slice(filename.lastIndexOf("/") + 1);
  const plain = name.replace(/[^\w .()+=@-]/g, "_");
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

type Range = { offset: number; length: number };

/** One range of a file (RFC 9110), null for none or one that is not understood. Throws 416. */
export function parseRange(header: string | undefined, size: number): Range | null {
  const [, from = "", to = ""] = header?.match(/^bytes=(\d*)-(\d*)$/) ?? [];
  if (from === "" && to === "") return null;
  const offset = from === "" ? Math.max(0, size - Number(to)) : Number(from);
  const end = from === "" || to === "" ? size - 1 : Math.min(Number(to), size - 1);
  if (from !== "" && to !== "" && Number(to) < Number(from)) return null;
  if (offset > end)
    throw refuse("range", { size }, { headers: { "Content-Range": `bytes */${size}` } });
  return { offset, length: end - offset + 1 };
}
