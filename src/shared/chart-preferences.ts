import * as z from "zod";
import { metricName } from "./metric-name.ts";

const names = z.array(metricName).max(500);

/** How a person likes to see curves; what it leaves out is as usual. */
export const chartPreferences = z
  .strictObject({
    axis: z.enum(["step", "epoch", "images", "time", "clock"]).describe("The axis they go by."),
    smoothing: z.number().min(0).lt(1),
    log: z.boolean().describe("Whether values are on a logarithmic scale."),
    pinned: names.describe("Metrics that come first, in their order."),
    hidden: names.describe("Metrics that are not drawn."),
    order: names.describe("Metrics in the order that they have within their groups."),
    collapsed: names.describe("Groups that show their title alone."),
  })
  .partial()
  .meta({ id: "ChartPreferences" });
