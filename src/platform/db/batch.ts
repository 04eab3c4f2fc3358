import type { BatchItem } from "drizzle-orm/batch";
import type { Db } from "./client.ts";

export type Statement = BatchItem<"sqlite">;

/**
 * One atomic batch, one round trip, of statements whose number is not known to the types: answers
 * with the results of the first and the last. A batch that writes begins with its write, so that
 * it takes the lock at once and cannot fail later on a stale snapshot.
 */
export async function batchAround<First extends Statement, Last extends Statement>(
  db: Db,
  first: First,
  middle: Statement[],
  last: Last,
): Promise<[Awaited<First>, Awaited<Last>]> {
  const results: unknown[] = await db.batch([first, ...middle, last]);
  // drizzle types batches as tuples of known length; first and last are what was passed.
  return [results[0], results.at(-1)] as [Awaited<First>, Awaited<Last>];
}

/** One atomic batch of named statements, in their order: answers with the result of each by its name. */
export async function batchOf<Named extends Record<string, Statement>>(
  db: Db,
  statements: Named,
): Promise<{ [Name in keyof Named]: Awaited<Named[Name]> }> {
  const [first, ...rest] = Object.values(statements);
  if (!first) throw new Error("a batch of nothing");
  const results: unknown[] = await db.batch([first, ...rest]);
  const named = Object.keys(statements).map((name, n) => [name, results[n]]);
  // drizzle types batches as tuples of known length; each result is its statement's.
  return Object.fromEntries(named) as { [Name in keyof Named]: Awaited<Named[Name]> };
}
