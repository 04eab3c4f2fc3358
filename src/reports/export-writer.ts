import type { JsonValue } from "../shared/json.ts";

/** A boolean is 0 or 1; a document is what its JSON says. */
export type Cell = JsonValue;

/** Writes an export piece by piece; the piece of each call is sent before the next call. */
export type Writer = {
  begin: () => Uint8Array;
  rows: (rows: Cell[][]) => Uint8Array;
  end: () => Uint8Array;
};
