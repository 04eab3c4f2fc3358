import * as z from "zod";

const wanted = "must be a whole number from 1";

/** `{id}` of a path. */
export const idParam = z.object({
  id: z.coerce.number({ error: wanted }).int({ error: wanted }).min(1, wanted),
});
