import { type SQL, sql } from "drizzle-orm";

/*
 * The numbers of an attempt's heartbeats. A client counts them from 1 without gaps; they may arrive in
 * any order, and again. `last_seq` is the highest that came, and `gaps` the ranges below it that did
 * not, as [[from, to], …] in order: what came is all else up to `last_seq`.
 */

type Gaps = [number, number][];
type Numbers = { lastSeq: number; gaps: string };

const parseGaps = (gaps: string): Gaps => JSON.parse(gaps);

/** Ranges of heartbeats that may be missing of an attempt: each heartbeat looks through them. */
export const MOST_GAPS = 200;

/** How many ranges of an attempt's heartbeats never came. */
export const countGaps = ({ gaps }: Pick<Numbers, "gaps">): number => parseGaps(gaps).length;

/** Whether a heartbeat of this number was accepted before. */
export const isKnown = ({ lastSeq, gaps }: Numbers, seq: number): boolean =>
  seq <= lastSeq && !parseGaps(gaps).some(([from, to]) => seq >= from && seq <= to);

/** The ranges that never came; `announced` is the highest number that the client says it sent. */
export function missingRanges({ lastSeq, gaps }: Numbers, announced: number | undefined) {
  const ranges = parseGaps(gaps);
  if (announced !== undefined && announced > lastSeq) ranges.push([lastSeq + 1, announced]);
  return ranges.map(([from, to]) => ({ from, to }));
}

/** The condition, on an attempt's row, that the heartbeat `seq` has yet to come and may. */
export const isAwaited = (seq: number): SQL =>
  sql`((${seq} > last_seq and (${seq} = last_seq + 1 or json_array_length(gaps) < ${MOST_GAPS})) or exists (select 1 from json_each(gaps) where ${seq} between value ->> 0 and value ->> 1))`;

/** The columns of an attempt whose first heartbeat to arrive is `seq`. */
export const firstSeq = (seq: number) => ({
  lastSeq: seq,
  gaps: JSON.stringify(seq > 1 ? [[1, seq - 1]] : []),
});

/**
 * The columns of an attempt after the heartbeat `seq`, which isAwaited(): a number after the next
 * opens a gap, and one within a gap splits, shortens or closes it.
 */
export const recordSeq = (seq: number): Record<"gaps" | "last_seq", SQL> => ({
  gaps: sql`case
    when ${seq} = last_seq + 1 then gaps
    when ${seq} > last_seq then json_insert(gaps, '$[#]', json_array(last_seq + 1, ${seq - 1}))
    else (select json_group_array(json_array(lo, hi)) from (
      select value ->> 0 as lo, case when ${seq} between value ->> 0 and value ->> 1 then ${seq - 1} else value ->> 1 end as hi
        from json_each(gaps)
      union all
      select ${seq + 1}, value ->> 1 from json_each(gaps) where ${seq} between value ->> 0 and value ->> 1
      order by 1) where lo <= hi) end`,
  last_seq: sql`max(last_seq, ${seq})`,
});
