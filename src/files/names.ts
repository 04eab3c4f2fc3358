import * as z from "zod";

/** A relative path below the run's output folder, with forward slashes. */
export const filename = z
  .string()
  .min(1)
  .max(255)
  // U+FFFD is what became of a control character or of half a surrogate pair.
  .refine(
    (name) => !/[\p{Cc}\\\ufffd]/u.test(name),
    "must be well-formed Unicode without control characters or backslashes",
  )
  .refine(
    (name) =>
      !/^[a-z]:/i.test(name) &&
      name.split("/").every((segment) => segment !== "" && segment !== "." && segment !== ".."),
    "must be a relative path without `.`, `..` or empty segments",
  )
  .describe("Relative to the output folder, e.g. `checkpoint-500/adapter_model.safetensors`.");
