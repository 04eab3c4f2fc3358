/* Opaque tokens of pages. */
import * as z from "zod";
import { sha256Hex } from "../../platform/http/hash.ts";
import { decodeCursor, encodeCursor } from "../../platform/http/page.ts";
import { ApiError } from "../../platform/http/problem.ts";
import { invalid } from "./body.ts";

const MOST_TOKEN = 4000;

/** The name of a list that tokens belong to: no other list takes them. */
export const listName = async (what: string, asked: unknown) =>
  `${what} ${(await sha256Hex(JSON.stringify(asked))).slice(0, 16)}`;

export const tokenOf = encodeCursor;

const values = z.array(z.union([z.string().max(2000), z.number(), z.null()])).max(40);

/** The place that a token holds; undefined without one. Throws MlflowError of one of another list. */
export function placeIn(list: string, token: string | undefined) {
  if (!token) return undefined;
  try {
    if (token.length <= MOST_TOKEN) return decodeCursor(list, token, values);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
  }
  throw invalid("Invalid page token: it is none of this search. Start without one.");
}
