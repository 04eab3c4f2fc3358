import { sql } from "drizzle-orm";
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { assign } from "../platform/db/assign.ts";
import {
  countGaps,
  firstSeq,
  isAwaited,
  isKnown,
  MOST_GAPS,
  missingRanges,
  recordSeq,
} from "./seq.ts";

let ledger: Ledger;
beforeAll(async () => {
  ledger = await freshLedger();
  await ledger.db.run(
    sql`create table numbers (id integer primary key, last_seq integer, gaps text)`,
  );
});

type Numbers = { lastSeq: number; gaps: string };
const read = sql`last_seq as "lastSeq", gaps`;

/** The numbers of an attempt to which heartbeats came in this order, and which of them were accepted. */
async function record(...order: number[]): Promise<Numbers & { accepted: number[] }> {
  const [first = 1, ...others] = order;
  const { lastSeq, gaps } = firstSeq(first);
  let [row] = await ledger.db.all<Numbers & { id: number }>(
    sql`insert into numbers (last_seq, gaps) values (${lastSeq}, ${gaps}) returning id, ${read}`,
  );
  const accepted = [first];
  for (const seq of others) {
    const [next] = await ledger.db.all<Numbers & { id: number }>(sql`
      update numbers set ${assign(recordSeq(seq))} where id = ${row?.id} and ${isAwaited(seq)} returning id, ${read}`);
    if (!next) continue;
    row = next;
    accepted.push(seq);
  }
  if (!row) throw new Error("the numbers did not come back");
  return { ...row, accepted };
}
const gapsAfter = async (...order: number[]) => JSON.parse((await record(...order)).gaps);

describe("recordSeq", () => {
  it("notes no gap where the numbers come in order", async () => {
    expect(await record(1, 2, 3)).toMatchObject({ lastSeq: 3, gaps: "[]" });
  });

  it("opens a gap before a number that comes early, also before the first to arrive", async () => {
    expect(await gapsAfter(1, 4, 9)).toEqual([
      [2, 3],
      [5, 8],
    ]);
    expect(await gapsAfter(3)).toEqual([[1, 2]]);
  });

  it("shortens a gap at either end, splits it in between, and closes it", async () => {
    expect(await gapsAfter(1, 9, 2)).toEqual([[3, 8]]);
    expect(await gapsAfter(1, 9, 8)).toEqual([[2, 7]]);
    expect(await gapsAfter(1, 9, 5)).toEqual([
      [2, 4],
      [6, 8],
    ]);
    expect(await gapsAfter(1, 3, 2)).toEqual([]);
  });

  it("knows in any order what came and what did not, and accepts each number once", async () => {
    // A fixed shuffle of 1…40 with repetitions.
    const order = Array.from({ length: 120 }, (_, n) => ((n * n * 7 + n * 13) % 40) + 1);
    const { accepted, ...numbers } = await record(...order);
    const came = new Set(order);
    expect(accepted).toEqual([...came]);
    const highest = Math.max(...came);
    expect(numbers.lastSeq).toBe(highest);
    for (let seq = 1; seq <= 41; seq++) expect(isKnown(numbers, seq), `${seq}`).toBe(came.has(seq));
    const missing = missingRanges(numbers, 45).flatMap(({ from, to }) =>
      Array.from({ length: to - from + 1 }, (_, n) => from + n),
    );
    const all = Array.from({ length: 45 }, (_, n) => n + 1);
    expect(missing).toEqual(all.filter((seq) => !came.has(seq)));
  });

  it("opens no more gaps than there may be, and still takes what fills them and what comes next", async () => {
    const odd = Array.from({ length: MOST_GAPS + 1 }, (_, n) => 2 * n + 1);
    const full = await record(...odd);
    expect(countGaps(full)).toBe(MOST_GAPS);
    const next = full.lastSeq + 1;
    const { accepted } = await record(...odd, next + 1, next, 2, next + 2);
    expect(accepted.slice(odd.length)).toEqual([next, 2, next + 2]);
  });
});
