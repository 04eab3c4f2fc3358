import * as z from "zod";
import { taskChoice } from "../runs/select.ts";
import { MOST_AGGREGATED } from "./aggregates.ts";

const { order_by: _order, ...choice } = taskChoice;

/** The runs that an aggregate is made of: their choice without its order. */
export { choice };

export const groupByQuery = z
  .string()
  .max(1000)
  .default("")
  .describe(
    "Up to four fields: columns, user, config.…, tags.…, and times by day(created_at), week(…), month(…), year(…), hour(…).",
  );

export const complete = z
  .boolean()
  .describe(
    `false: no index serves the filter, so only the newest ${MOST_AGGREGATED} tasks were read, or fewer where the query reads many settings of configurations.`,
  );
