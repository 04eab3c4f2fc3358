import * as z from "zod";

/** RFC 9457 as `problem.ts` shapes it. Only the API's description and the tests need the schema. */
export const problemAnswer = z
  .looseObject({
    type: z.string().meta({ examples: ["urn:lora-ledger:not-valid"] }),
    title: z.string().meta({ examples: ["Not valid"] }),
    status: z.int().meta({ examples: [422] }),
    detail: z.string(),
    errors: z
      .array(
        z.object({
          path: z.string().meta({ examples: ["logs[3].step"] }),
          message: z.string(),
        }),
      )
      .optional()
      .describe("For a refused body or query: each fault and its place."),
  })
  .describe("What went wrong (RFC 9457). `type` ends with a stable word for programs.");
