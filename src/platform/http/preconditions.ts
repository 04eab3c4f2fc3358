import { refuse } from "./problem.ts";
import { notValid } from "./validate.ts";

/** `If-Match` as a row version; null when the header is absent. */
export function ifMatch(header: string | undefined): number | null {
  if (header === undefined || header === "*") return null;
  const version = header.match(/^(?:W\/)?"(\d{1,15})"$/)?.[1];
  if (!version)
    throw notValid([{ path: "If-Match", message: 'must be the ETag of the row, such as "3"' }]);
  return Number(version);
}

/** The refusal of a change that came too late: the row's version now, and whose change was first where that is known. */
export const changedMeanwhile = (version: number, by: string | null = null) =>
  refuse("changed-meanwhile", { version }, { extra: { version, ...(by !== null && { by }) } });
