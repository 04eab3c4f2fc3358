import { RE2JS, RE2JSException } from "re2js";
import type { Text } from "../i18n.ts";
import { LONGEST_SEARCH } from "./workspace.ts";

/*
 * Regular expressions whose time grows with the length of a name alone: the browser's own go back and try
 * again, and `(a+)+$` would hang the page. Loaded when somebody searches: the library is a large one.
 */

/** The most instructions of an expression: `a{100}` has about a hundred. */
const MOST_INSTRUCTIONS = 400;

/** Why a text is no expression to search with; `why` has the library's words, which are English. */
export type Mistake = { text: Text; why: string };
const tooLarge: Mistake = { text: "The regular expression is too large.", why: "" };

const all = () => true;

/**
 * Reads a search as a test of names: it finds them by any part, without regard to upper and lower case.
 * A text that is no expression, or too large a one, finds all.
 */
export function readSearch(search: string): {
  matches: (name: string) => boolean;
  mistake: Mistake | null;
} {
  if ([...search].length > LONGEST_SEARCH) return { matches: all, mistake: tooLarge };
  try {
    const expression = RE2JS.compile(search, RE2JS.CASE_INSENSITIVE);
    if (expression.programSize() > MOST_INSTRUCTIONS) return { matches: all, mistake: tooLarge };
    return { matches: (name) => expression.test(name), mistake: null };
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    const why = "error" in error ? String(error.error) : error.message;
    return { matches: all, mistake: { text: "No regular expression: {why}", why } };
  }
}
