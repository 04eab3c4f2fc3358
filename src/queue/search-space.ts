import * as z from "zod";
import { notValid } from "../platform/http/validate.ts";
import type { Scalar } from "./search-edit.ts";

const scalar = z.union([z.string().max(2000), z.number(), z.boolean()]);
const range = z
  .strictObject({
    min: z.number(),
    max: z.number(),
    log: z
      .boolean()
      .default(false)
      .describe("Whether to draw evenly over the orders of magnitude."),
    int: z.boolean().default(false).describe("Whether to draw whole numbers only."),
  })
  .refine((r) => r.min < r.max, "min must be below max")
  .refine((r) => !r.log || r.min > 0, "a logarithmic range begins above 0");

/** Key of the base config → the values it takes, or the range it is drawn from. */
export const space = z
  .record(z.string().min(1).max(300), z.union([z.array(scalar).min(1).max(500), range]))
  .refine((s) => Object.keys(s).length >= 1 && Object.keys(s).length <= 20, "takes 1 to 20 keys");
type Axis = z.infer<typeof space>[string];

/** A small seeded generator (mulberry32): the same seed gives the same sweep. */
function generator(seed: number) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** The value of an axis at a share from 0 to below 1. */
function pick(axis: Axis, share: number): Scalar {
  if (Array.isArray(axis)) return axis[Math.floor(share * axis.length)] ?? "";
  const { min, max, log, int } = axis;
  if (int && !log) return min + Math.floor(share * (max - min + 1));
  const value = log ? min * (max / min) ** share : min + share * (max - min);
  return int ? Math.round(value) : Number(value.toPrecision(6));
}

/** The combinations of a space, each with its values in the order of the keys. */
export function combinations(
  axes: Axis[],
  method: "grid" | "random" | "latin-hypercube",
  count: number | undefined,
  seed: number,
  most: number,
): Scalar[][] {
  if (method === "grid") {
    const lists = axes.map((axis) => {
      if (Array.isArray(axis)) return axis;
      throw notValid([{ path: "space", message: "a grid takes lists of values, no ranges" }]);
    });
    const total = lists.reduce((product, list) => product * list.length, 1);
    if (total > most)
      throw notValid([
        { path: "space", message: `makes ${total} tasks; at most ${most} go at once` },
      ]);
    return lists.reduce<Scalar[][]>(
      (rows, list) => rows.flatMap((row) => list.map((value) => [...row, value])),
      [[]],
    );
  }
  if (count === undefined) throw notValid([{ path: "count", message: `is needed for ${method}` }]);
  const random = generator(seed);
  if (method === "random")
    return Array.from({ length: count }, () => axes.map((axis) => pick(axis, random())));
  // Each axis is cut into as many strata as there are tasks, and each stratum is used once.
  const columns = axes.map((axis) => {
    const strata = Array.from({ length: count }, (_, n) => n);
    for (let i = count - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [strata[i], strata[j]] = [strata[j] ?? 0, strata[i] ?? 0];
    }
    return strata.map((stratum) => pick(axis, (stratum + random()) / count));
  });
  return Array.from({ length: count }, (_, n) => columns.map((column) => column[n] ?? ""));
}
