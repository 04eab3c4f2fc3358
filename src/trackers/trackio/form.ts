/*
 * The form of Trackio's HTTP protocol: `POST /api/NAME {args, kwargs}` is answered by `{data}`, or `{error}`.
 */
import type { Context } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import * as z from "zod";
import { problem } from "../../platform/http/problem.ts";
import { faultsOf, notValid, parseJson } from "../../platform/http/validate.ts";
import { type Named, plainText } from "../runs.ts";

/** Any error in Trackio's form. Its client keeps what was refused on disk and sends it again later. */
export async function trackioProblem(error: unknown, c: Context): Promise<Response> {
  const shown = problem(error, c);
  const { detail } = await shown.json<{ detail: string }>();
  const retry = shown.headers.get("Retry-After");
  return c.json({ error: detail }, shown.status as ContentfulStatusCode, {
    ...(retry && { "Retry-After": retry }),
  });
}

/**
 * The arguments of a call: named ones, and unnamed ones in the order of the schema's fields, as Trackio's command
 * line sends them. Throws ApiError 400, 422.
 */
export async function argumentsOf<T extends z.ZodObject>(
  c: Context,
  schema: T,
): Promise<z.infer<T>> {
  const call = z
    .looseObject({
      args: z.array(z.unknown()).max(20).nullish(),
      kwargs: z.looseObject({}).nullish(),
    })
    .safeParse(parseJson(await c.req.text()));
  if (!call.success) throw notValid(faultsOf(call.error), "The call");
  const unnamed = Object.keys(schema.shape).flatMap((name, n): [string, unknown][] => {
    const value = call.data.args?.[n];
    return value === undefined ? [] : [[name, value]];
  });
  const read = schema.safeParse({ ...Object.fromEntries(unnamed), ...call.data.kwargs });
  if (!read.success) throw notValid(faultsOf(read.error), "The call");
  return read.data;
}

export type Ref = { project: string; run: string; run_id?: string | null };

/** A run as entries name it: by its id, or by its name where a client has no ids. */
export const namedOf = ({ project, run, run_id }: Ref): Named => ({
  tracker: "trackio",
  project: plainText(project, 500),
  run: run_id || plainText(run, 500),
  byName: run_id === run,
});

const name = z.string().min(1).max(500);
const step = z.number().nullish();
const values = z.record(z.string().max(2000), z.unknown());

/** Entries that one call may bring. */
const MOST_ENTRIES = 20_000;

const ofRun = { project: name, run: name, run_id: z.string().max(200).nullish() };

export const logCall = z.looseObject({
  logs: z
    .array(
      z.looseObject({
        ...ofRun,
        metrics: values.nullish(),
        step,
        config: values.nullish(),
        timestamp: z.string().max(60).nullish(),
      }),
    )
    .max(MOST_ENTRIES),
});

export const alertCall = z.looseObject({
  alerts: z
    .array(
      z.looseObject({
        ...ofRun,
        title: z.string().max(2000),
        text: z.string().max(20_000).nullish(),
        level: z.string().max(20).nullish(),
        step,
        timestamp: z.string().max(60).nullish(),
        alert_id: z.string().max(200).nullish(),
      }),
    )
    .max(1000),
});

export const mediaCall = z.looseObject({
  uploads: z
    .array(
      z.looseObject({
        ...ofRun,
        step,
        relative_path: z.string().max(1000).nullish(),
        uploaded_file: z.looseObject({
          path: z.string().max(500),
          orig_name: z.string().max(500).nullish(),
        }),
      }),
    )
    .max(200),
});

export const projectCall = z.looseObject({ project: name });
/** A reading call names a run by its name, or by its id. */
export const runCall = z.looseObject({
  project: name,
  run: name.nullish(),
  run_id: z.string().max(200).nullish(),
});
export const metricCall = z.looseObject({
  ...{ project: name, run: name.nullish(), metric_name: z.string().max(2000) },
  run_id: z.string().max(200).nullish(),
});

/** The time of an entry in ms since 1970; null where it has none. */
export function msOf(timestamp: string | null | undefined): number | null {
  const ms = timestamp ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}
