/*
 * The form of SwanLab's HTTP protocol: plain JSON answers, and `{message}` for errors. Facts were observed with
 * the client 0.10.3.
 */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import * as z from "zod";
import { problem } from "../../platform/http/problem.ts";
import { faultsOf, notValid, parseJson } from "../../platform/http/validate.ts";

/** Any error in SwanLab's form. Its client sends again what was answered with 5xx, and drops what 4xx refuses. */
export async function swanlabProblem(error: unknown, c: Context): Promise<Response> {
  const shown = problem(error, c);
  const { detail, code } = await shown.json<{ detail: string; code: string }>();
  const retry = shown.headers.get("Retry-After");
  // A call too many has to come again, which the client does for 5xx alone.
  const status = (shown.status === 429 ? 503 : shown.status) as ContentfulStatusCode;
  return c.json({ code, message: detail }, status, { ...(retry && { "Retry-After": retry }) });
}

/** A body of a call. Throws ApiError 400, 422. */
export async function bodyOf<T extends z.ZodType>(c: Context, schema: T): Promise<z.infer<T>> {
  const read = schema.safeParse(parseJson(await c.req.text()));
  if (!read.success) throw notValid(faultsOf(read.error), "The call");
  return read.data;
}

const time = z.string().max(60).nullish();

export const newRun = z.looseObject({
  name: z.string().max(500).nullish(),
  description: z.string().max(50_000).nullish(),
  cuid: z.string().min(1).max(200).nullish(),
  labels: z
    .array(z.looseObject({ name: z.string().max(200) }))
    .max(100)
    .nullish(),
  job: z.string().max(500).nullish(),
});

export const profile = z.looseObject({
  config: z.record(z.string().max(500), z.unknown()).nullish(),
  metadata: z.looseObject({}).nullish(),
});

export const states = {
  FINISHED: "success",
  CRASHED: "failed",
  ABORTED: "cancelled",
} as const;

export const newState = z.looseObject({
  state: z.enum(["RUNNING", "FINISHED", "CRASHED", "ABORTED"]),
});

/** Records that one call may bring; the client sends 10,000 at most. */
const MOST_RECORDS = 20_000;

const scalar = z.looseObject({
  key: z.string().min(1).max(2000),
  index: z.number(),
  data: z.unknown(),
  create_time: time,
});

const media = z.looseObject({
  key: z.string().min(1).max(2000),
  index: z.number(),
  data: z.array(z.string().max(1000)).max(1000),
  more: z
    .array(z.looseObject({ caption: z.string().max(20_000).nullish() }).nullish())
    .max(1000)
    .nullish(),
});

const line = z.looseObject({
  message: z.string().max(100_000),
  epoch: z.number(),
});

const of = { experimentId: z.string().max(200) };

export const metricsCall = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("scalar"), ...of, metrics: z.array(scalar).max(MOST_RECORDS) }),
  z.looseObject({ type: z.literal("media"), ...of, metrics: z.array(media).max(MOST_RECORDS) }),
  z.looseObject({ type: z.literal("log"), ...of, metrics: z.array(line).max(MOST_RECORDS) }),
]);

export const filesCall = z.looseObject({
  experimentId: z.string().max(200),
  paths: z.array(z.string().min(1).max(500)).max(1000),
});

export const savedCall = z.looseObject({
  files: z.array(z.looseObject({ path: z.string().min(1).max(500) })).max(1000),
});
