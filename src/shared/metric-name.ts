import * as z from "zod";

// A JSON path, by which summaries are stored, cannot hold a double quote or a backslash.
export const metricName = z
  .string()
  .regex(
    /^[^"\\\p{Cc}]{1,128}$/u,
    "must be 1 to 128 characters without quotes, backslashes or control characters",
  );
