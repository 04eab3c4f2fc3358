import * as z from "zod";

/** How far a person has read the alerts, and whose they are counted. */
export const alertPreferences = z
  .strictObject({
    seen: z.int().min(0).describe("The id of the newest event that the person has seen."),
    whose: z.enum(["mine", "all"]).describe("Whose alerts count as unread ones."),
  })
  .partial()
  .meta({ id: "AlertPreferences" });
