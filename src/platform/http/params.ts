import * as z from "zod";

const wanted = "must be a whole number from 1";

/** `true` or `false` of a query: a text that OpenAPI calls a boolean. */
export const flag = () => z.stringbool().meta({ type: "boolean" });

/** `{id}` of a path. */
export const idParam = z.object({
  id: z.coerce.number({ error: wanted }).int({ error: wanted }).min(1, wanted),
});
