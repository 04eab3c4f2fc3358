/*
 * What trackers' clients log, as points: names that the ledger can store, numbers in each client's spelling,
 * nested values by paths, and rows in the order of their steps.
 */
import type { Segment, Value } from "../metrics/points.ts";

/** One step as a tracker's client logs it. */
export type Entry = { step: number; ms: number | null; metrics: Map<string, Value> };

/** Rows that one report stores: as many as a heartbeat may bring. */
const ROWS_AT_ONCE = 5000;
const MOST_STEP = 9_999_999_999;
const MOST_DEPTH = 8;

/** A metric's name as the ledger stores it: what no JSON path can hold becomes `_`, and 128 characters are kept. */
export const nameOf = (name: string): string =>
  Array.from(name.replace(/["\\\p{Cc}]/gu, "_"))
    .slice(0, 128)
    .join("") || "_";

/** A step as the ledger stores it: a whole number, 0 at least. */
export const stepOf = (step: number): number =>
  Math.min(Math.max(Math.trunc(step) || 0, 0), MOST_STEP);

const words: Record<string, Value> = {
  nan: "NaN",
  inf: "Infinity",
  infinity: "Infinity",
  "+inf": "Infinity",
  "+infinity": "Infinity",
  "-inf": "-Infinity",
  "-infinity": "-Infinity",
};

/** A number in any client's spelling; undefined of what is none. */
export function numberOf(value: unknown): Value | undefined {
  if (typeof value === "number") return value;
  if (typeof value === "boolean") return Number(value);
  return typeof value === "string" ? words[value.toLowerCase()] : undefined;
}

/**
 * The numbers among logged values, those of nested objects as `a.b`. `other` gets what is no number, by its
 * name; objects with a `_type`, as media have, are not looked into.
 */
export function flatten(
  logged: Record<string, unknown>,
  other: (name: string, value: unknown) => void,
): Map<string, Value> {
  const metrics = new Map<string, Value>();
  const walk = (value: unknown, name: string, depth: number) => {
    const number = numberOf(value);
    if (number !== undefined) metrics.set(nameOf(name), number);
    else if (value && typeof value === "object" && !Array.isArray(value) && !("_type" in value)) {
      if (depth >= MOST_DEPTH) return;
      for (const [key, inner] of Object.entries(value)) walk(inner, `${name}.${key}`, depth + 1);
    } else other(name, value);
  };
  for (const [name, value] of Object.entries(logged)) walk(value, name, 0);
  return metrics;
}

/**
 * Entries as segments of at most 5,000 rows, by ascending steps. Entries of one step and time share a row
 * unless they have a metric in common: each value counts.
 */
export function toSegments(entries: Entry[]): Segment[] {
  const sorted = [...entries].sort((a, b) => a.step - b.step);
  const rows: Entry[] = [];
  for (const entry of sorted) {
    const last = rows.at(-1);
    const shared =
      last?.step === entry.step &&
      last.ms === entry.ms &&
      ![...entry.metrics.keys()].some((name) => last.metrics.has(name));
    if (last && shared) for (const [name, value] of entry.metrics) last.metrics.set(name, value);
    else rows.push({ ...entry, metrics: new Map(entry.metrics) });
  }
  const segments: Segment[] = [];
  for (let i = 0; i < rows.length; i += ROWS_AT_ONCE) {
    const part = rows.slice(i, i + ROWS_AT_ONCE);
    const metrics = [...new Set(part.flatMap((row) => [...row.metrics.keys()]))];
    segments.push({
      metrics,
      rows: part.map(({ step, ms, metrics: values }): Segment["rows"][number] => [
        step,
        null,
        ms,
        ...metrics.map((name) => values.get(name) ?? null),
      ]),
    });
  }
  return segments;
}
