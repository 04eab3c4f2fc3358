import * as z from "zod";
import { notValid } from "../platform/http/validate.ts";
import { type Bucket, bucketOf, coarsen, extremesOf, nonfiniteOf, shownValue } from "./buckets.ts";
import type { Curve } from "./curve.ts";
import type { Point, Value } from "./points.ts";
import type { AttemptLogs } from "./read.ts";

/** `[step, epoch, time, value]`. */
export const wirePoint = z.tuple([
  z.number(),
  z.number().nullable(),
  z.string().nullable(),
  z.union([z.number(), z.string()]),
]);
/** The lists that a curve has beside its points. */
export const perPoint = {
  first_step: z.array(z.int()).describe("Of each point, the first step that it covers."),
  low: z.array(z.number().nullable()).describe("Of each point, the lowest finite value."),
  high: z.array(z.number().nullable()).describe("Of each point, the highest finite value."),
  count: z.array(z.int()).describe("Of each point, how many logged points it covers."),
  nonfinite: z.array(z.int()).describe("Of each point, how many of them are NaN or infinite."),
};
/** A point on the wire: its time as ISO 8601. */
export const toWirePoint = ([step, epoch, ms, value]: Point): [
  number,
  number | null,
  string | null,
  Value,
] => [step, epoch, ms === null ? null : new Date(ms).toISOString(), value];

/** A curve on the wire: its points, and the parallel lists of perPoint. */
export const toWireCurve = (total: number, buckets: Bucket[]) => ({
  total,
  points: buckets.map((bucket) => {
    const [step, epoch, ms] = bucket.last;
    return toWirePoint([step, epoch, ms, shownValue(bucket)]);
  }),
  first_step: buckets.map(({ first }) => first),
  low: buckets.map(({ min }) => (min ? Number(min[3]) : null)),
  high: buckets.map(({ max }) => (max ? Number(max[3]) : null)),
  count: buckets.map(({ count }) => count),
  nonfinite: buckets.map(nonfiniteOf),
});

/** How an answer thins a long curve. */
export const thinnings = ["mean", "extremes", "raw"] as const;
type Thin = (typeof thinnings)[number];

/** A curve as it was asked for, in at most `max` points. */
export function thinned({ total, buckets }: Curve, thin: Thin, max: number) {
  if (thin === "raw" && (total > max || buckets.length < total))
    throw notValid([
      {
        path: "thin",
        message: `the curve has ${total} points, more than max_points: ask for a part with from_step and to_step, or for format=csv`,
      },
    ]);
  const shown =
    thin === "extremes" ? extremesOf(buckets, max).map(bucketOf) : coarsen(buckets, max);
  return toWireCurve(total, shown);
}

/** From which heartbeat on an answer to `since` goes on. */
export const nextSince = (attempts: AttemptLogs[]) => {
  // An attempt without points has nothing to go on behind, and replaces nothing yet.
  const last = attempts.findLast(({ points }) => points > 0);
  return `${last?.attempt ?? 0}.${last?.received ?? 0}`;
};
