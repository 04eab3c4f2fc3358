import * as z from "zod";
import { problems } from "../../shared/problems.ts";

const params = z.record(z.string(), z.union([z.string(), z.number()]));

/** RFC 9457 as `problem.ts` shapes it. Only the API's description and the tests need the schema. */
export const problemAnswer = z
  .looseObject({
    type: z.string().meta({ examples: ["urn:lora-ledger:not-valid"] }),
    title: z.string().meta({ examples: ["Not valid"] }),
    status: z.int().meta({ examples: [422] }),
    detail: z.string(),
    code: z.enum(Object.keys(problems).sort()),
    params: params.describe(
      "The values in the sentence of this code; `case` if the code has several sentences.",
    ),
    errors: z
      .array(
        z.object({
          path: z.string().meta({ examples: ["logs[3].step"] }),
          message: z.string(),
          code: z.string().optional().describe("The code of a mistake in a filter."),
          params: params.optional(),
        }),
      )
      .optional()
      .describe("For a refused body or query: each fault and its place."),
  })
  .describe(
    "A problem (RFC 9457). `code` is a stable word for programs, and the end of `type`; `detail` is its sentence with `params` filled in.",
  );
