import { type SQL, sql } from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import type { Db } from "./client.ts";

export type Statement = BatchItem<"sqlite">;

/** A statement of a chain that depends on how many rows the one right before it changed. */
type Link<Made extends Statement> = { after: string; make: () => Made };

/** One named part of a chain: a statement, several, or none where a case does not need it. */
export type Part = Statement | Link<Statement> | readonly Statement[] | null | undefined | false;

type Result<P> =
  P extends Link<infer Made>
    ? Awaited<Made>
    : P extends readonly (infer Each)[]
      ? Awaited<Each>[]
      : P extends Statement
        ? Awaited<P>
        : undefined;

/** A statement that is given the condition that the statement `after` changed a row, or several. */
export const ifChanged = <Made extends Statement>(
  after: string,
  make: (changed: SQL) => Made,
): Link<Made> => ({ after, make: () => make(sql`changes() > 0`) });

/** A statement that is given the condition that the statement `after` changed nothing. */
export const ifUnchanged = <Made extends Statement>(
  after: string,
  make: (unchanged: SQL) => Made,
): Link<Made> => ({ after, make: () => make(sql`changes() = 0`) });

/** A statement that is given the number of rows that the statement `after` changed. */
export const withChanges = <Made extends Statement>(
  after: string,
  make: (count: SQL<number>) => Made,
): Link<Made> => ({ after, make: () => make(sql<number>`changes()`) });

const isLink = (part: object): part is Link<Statement> => "after" in part && "make" in part;

/**
 * Runs named statements as one atomic batch in one round trip, in their order, and answers with each
 * result by its name; a name without a statement answers undefined. A chain that writes begins with a
 * write, so that it takes the lock at once and cannot fail later on a stale snapshot.
 *
 * `changes()` counts the rows of the last statement that wrote. A condition on any statement but the
 * one right before would read another's count, so it is refused. Throws Error on that, and on no statement.
 */
export async function chain<Parts extends Record<string, Part>>(
  db: Db,
  parts: Parts,
): Promise<{ [Name in keyof Parts]: Result<Parts[Name]> }> {
  const statements: Statement[] = [];
  const places: { name: string; at: number; count: number | null }[] = [];
  let before: string | undefined;
  for (const [name, part] of Object.entries(parts)) {
    if (!part) continue;
    if (Array.isArray(part)) {
      places.push({ name, at: statements.length, count: part.length });
      statements.push(...part);
      if (part.length) before = part.length === 1 ? name : undefined;
      continue;
    }
    // Array.isArray does not narrow readonly arrays.
    const one = part as Statement | Link<Statement>;
    if (isLink(one) && one.after !== before)
      throw new Error(`"${name}" depends on "${one.after}", which is not right before it`);
    places.push({ name, at: statements.length, count: null });
    statements.push(isLink(one) ? one.make() : one);
    before = name;
  }
  const [first, ...rest] = statements;
  if (!first) throw new Error("a chain of no statements");
  const results: unknown[] = await db.batch([first, ...rest]);
  const named = places.map(({ name, at, count }) => [
    name,
    count === null ? results[at] : results.slice(at, at + count),
  ]);
  // drizzle types batches as tuples of known length; each result is its statement's.
  return Object.fromEntries(named) as { [Name in keyof Parts]: Result<Parts[Name]> };
}
