/*
 * Requests of MLflow's REST protocol: protobuf's JSON, where an int64 may be a text, a double may be a word,
 * unknown fields are ignored, and refusals have MLflow's own sentences.
 */
import type { Context } from "hono";
import * as z from "zod";
import type { App } from "../../platform/http/context.ts";
import { cleanText } from "../../platform/http/text.ts";
import { parseJson } from "../../platform/http/validate.ts";
import { MlflowError } from "./form.ts";

export const invalid = (message: string) => new MlflowError("INVALID_PARAMETER_VALUE", message);

/** A value as MLflow's sentences show it, cut. */
const shown = (value: unknown): string => {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
};

/** The part of a value at a path. */
const at = (value: unknown, path: PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (part, key) => (part !== null && typeof part === "object" ? Reflect.get(part, key) : undefined),
    value,
  );

const pathText = (path: PropertyKey[]) =>
  path.reduce<string>(
    (text, key) =>
      typeof key === "number" ? `${text}[${key}]` : text ? `${text}.${String(key)}` : String(key),
    "",
  );

/** A value as its schema reads it. Throws MlflowError in MLflow's words. */
function readValue<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const path = issue?.path ?? [];
  const given = at(value, path);
  if (given === undefined || given === null || given === "")
    throw invalid(
      `Missing value for required parameter '${pathText(path)}'. See the API docs for more information about request parameters.`,
    );
  if (issue?.code === "custom" || issue?.code === "too_big") throw invalid(issue.message);
  throw invalid(
    `Invalid value ${shown(given)} for parameter '${pathText(path)}' supplied. See the API docs for more information about request parameters.`,
  );
}

/** The body of a request; an empty one is an empty object. Throws MlflowError, and ApiError of what is no JSON. */
export async function readBody<T extends z.ZodType>(
  c: Context<App>,
  schema: T,
): Promise<z.infer<T>> {
  const text = await c.req.text();
  const value = text.trim() === "" ? {} : parseJson(text);
  if (value === null || typeof value !== "object" || Array.isArray(value))
    throw invalid("The request's body must be a JSON object.");
  return readValue(schema, value);
}

/** The query of a request; names that occur several times are lists where the schema names them. */
export function readQuery<T extends z.ZodType>(
  c: Context<App>,
  schema: T,
  lists: readonly string[] = [],
): z.infer<T> {
  const all = c.req.queries();
  return readValue(
    schema,
    Object.fromEntries(
      Object.entries(all).map(([name, values]) => {
        const clean = values.map(cleanText);
        return [name, lists.includes(name) ? clean : clean.at(-1)];
      }),
    ),
  );
}

/** An int64, as a number or as a text. */
export const int64 = z.union([
  z.int(),
  z
    .string()
    .regex(/^-?\d{1,16}$/)
    .transform(Number)
    .refine(Number.isSafeInteger),
]);

/** A double: a number, a text that is one, or a word. */
export const double = z
  .union([z.number(), z.string().max(400)])
  .transform((value, ctx): number | "NaN" | "Infinity" | "-Infinity" => {
    if (typeof value === "number") return value;
    if (value === "NaN" || value === "Infinity" || value === "-Infinity") return value;
    const number = value.trim() === "" ? Number.NaN : Number(value);
    if (Number.isFinite(number)) return number;
    ctx.issues.push({ code: "invalid_value", values: [], input: value });
    return z.NEVER;
  });

/** A text that clients may also send as a number. */
export const word = z.union([z.string(), z.number().transform(String)]);
/** The same, which may not be empty. */
export const name = word.refine((text) => text !== "");

/** Either name that clients give a run by. */
export const runName = { run_id: z.string().optional(), run_uuid: z.string().optional() };

/** The id under which a request names a run. Throws MlflowError. */
export function namedRun({ run_id, run_uuid }: { run_id?: string; run_uuid?: string }): string {
  const id = run_id || run_uuid;
  if (!id)
    throw invalid(
      "Missing value for required parameter 'run_id'. See the API docs for more information about request parameters.",
    );
  return id;
}

/** Refuses a number of results outside of 1 to `most`, in MLflow's words. */
export function checkResults(count: number, most: number) {
  if (count < 1)
    throw invalid(
      `Invalid value ${count} for parameter 'max_results' supplied. It must be a positive integer`,
    );
  if (count > most)
    throw invalid(
      `Invalid value ${count} for parameter 'max_results' supplied. It must be at most ${most}.`,
    );
}
