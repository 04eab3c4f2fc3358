import type { InferResponseType } from "hono/client";
import type { api } from "./api.ts";

/** Shapes as the routes answer them. */
export type Row = InferResponseType<typeof api.table.$get, 200>["items"][number];
/** What a run's loss came to: the lowest smoothed loss, and the first step where it was NaN or infinite. */
export type LossFigures = {
  best_loss?: number | null;
  best_step?: number | null;
  nonfinite_from_step?: number | null;
};
export type Task = InferResponseType<(typeof api.tasks)[":id"]["$get"], 200> & LossFigures;
export type Attempt = Task["attempts"][number];
export type CurvePoint = [
  step: number,
  epoch: number | null,
  time: string | null,
  value: number | string,
];
/**
 * A point may cover several steps: it has the step, epoch and time of the last of them, and the mean of
 * their finite values. The lists beside `points` have a place for each of them.
 */
export type Curve = {
  metric: string;
  total: number;
  points: CurvePoint[];
  metrics: string[];
  first_step?: number[];
  /** The lowest and highest finite value; null where none is finite. */
  low?: (number | null)[];
  high?: (number | null)[];
  /** Values it covers, and how many of them are NaN or infinite. */
  count?: number[];
  nonfinite?: number[];
  /** Whether the answer ends before the curve does. */
  ends_early?: true;
  /** From where on `since` asks for what comes behind it. */
  next_since?: string;
};
/** The curves of several runs, and the names of all their metrics. */
export type Curves = {
  items: (Curve & { id: number; one_of: number })[];
  metrics: string[];
  missing: number[];
};
export type GroupCurves = InferResponseType<typeof api.curves.groups.$get, 200>;
export type Weight = InferResponseType<typeof api.weights.$get, 200>["items"][number];
export type Dataset = InferResponseType<
  (typeof api.tasks)[":id"]["datasets"]["$get"],
  200
>["datasets"][number];
export type Sparkline = InferResponseType<typeof api.table.sparklines.$get, 200>["items"][number];
export type Me = InferResponseType<typeof api.me.$get, 200>;
export type User = InferResponseType<typeof api.users.$get, 200>["items"][number];
export type Key = InferResponseType<typeof api.keys.$get, 200>["items"][number];
export type Board = InferResponseType<typeof api.board.$get, 200>;
export type Comparison = InferResponseType<typeof api.tasks.compare.$get, 200>;
export type Model = InferResponseType<typeof api.models.$get, 200>["items"][number];
export type Alias = InferResponseType<
  (typeof api.models)[":name"]["aliases"]["$get"],
  200
>["aliases"][number];
export type ModelVersion = InferResponseType<typeof api.reviews.$get, 200>["items"][number];
export type View = InferResponseType<typeof api.views.$get, 200>["items"][number];
export type Status = Row["status"];
