import * as z from "zod";

/** `{id}` of a path. */
export const idParam = z.object({
  id: z
    .string()
    .regex(/^[1-9]\d{0,14}$/, "must be a whole number from 1")
    .transform(Number)
    .pipe(z.int())
    .describe("The row's id."),
});
