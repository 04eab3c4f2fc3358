import * as z from "zod";

// A JSON path, by which summaries are stored, cannot hold a double quote or a backslash. MLflow's clients name
// metrics in up to 250 characters.
export const metricName = z
  .string()
  .regex(
    /^[^"\\\p{Cc}]{1,250}$/u,
    "must be 1 to 250 characters without quotes, backslashes or control characters",
  );
