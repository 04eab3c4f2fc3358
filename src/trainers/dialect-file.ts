import * as z from "zod";
import { type RunField, runFields } from "../shared/run-fields.ts";
import type { Declaration } from "./declarations/form.ts";
import type { Column } from "./dialect.ts";
import { ConfigSyntaxError } from "./formats/fault.ts";
import { parseToml } from "./formats/toml.ts";

/** Characters of a dialect's file; the built-in ones are a tenth of it. */
export const MOST_DIALECT = 20_000;

/** The form, made once it is asked for: a Worker starts without it. */
function makeForm() {
  const text = z.string().min(1).max(200);
  const texts = z.array(text).max(50);
  const scalar = z.union([z.string().max(500), z.number(), z.boolean()]);
  const keyed = <T extends z.ZodType>(value: T) =>
    z
      .record(text, value)
      .refine((all) => Object.keys(all).length <= 100, "holds more than 100 names");

  const condition = z
    .strictObject({
      key: z.union([text, z.array(text).min(1).max(20)]),
      is: z.array(scalar).max(50).optional(),
      not: z.array(scalar).max(50).optional(),
      has: text.optional(),
      given: z.boolean().optional(),
    })
    .refine(
      ({ is, not, has, given }) => (is ?? not ?? has ?? given) !== undefined,
      "says nothing of the setting: give `is`, `not`, `has` or `given`",
    );
  const conditions = z.array(condition).min(1).max(20);

  /** The columns that a trainer's file can fill. */
  const fields: [string, RunField][] = Object.entries(runFields);
  const columnNames = fields.filter(([, { by }]) => by === "trainer").map(([name]) => name);
  const column = z.enum(columnNames as [Column, ...Column[]]);

  const constants = z
    .array(z.strictObject({ where: conditions, value: scalar }))
    .max(50)
    .optional();

  const plainRule = z.strictObject({
    cases: constants,
    keys: texts.optional(),
    words: keyed(scalar).optional(),
    known: z.literal(true).optional(),
    joined: texts.optional(),
    flags: keyed(scalar).optional(),
    unset: z.array(scalar).max(50).optional(),
    launcher: text.optional(),
    default: scalar.optional(),
    default_of: column.optional(),
    defaults: constants,
    unless: conditions.optional(),
    after: z.enum(["/", "."]).optional(),
    below: column.optional(),
    arch: z.boolean().optional(),
  });
  /** `or` goes three rules deep, which no trainer has needed. */
  const rule = plainRule.extend({
    or: plainRule.extend({ or: plainRule.optional() }).optional(),
  });

  const anything = /\{\}/g;
  const template = z
    .string()
    .min(1)
    .max(300)
    .refine((value) => (value.match(anything)?.length ?? 0) <= 2, "holds more than two `{}`")
    .refine(
      (value) => !/\{(?!\w{0,60}\})/.test(value),
      "holds a brace that begins no field such as {loss}",
    )
    .refine((value) => !/\}\{/.test(value), "has two fields with nothing between them");
  const line = template.refine((value) => /\{\w+\}/.test(value), "holds no field such as {loss}");
  /** A path below the output folder. */
  const fileName = template.refine(
    (value) => !/^[/\\]|\\|(?:^|\/)\.\.(?:\/|$)|^[A-Za-z]:/.test(value),
    "is no path below the output folder, with forward slashes",
  );
  const fileNames = z.array(fileName).max(20).optional();

  return z.strictObject({
    name: z
      .string()
      .regex(/^[a-z0-9][a-z0-9._-]{0,59}$/, "is no name of small letters, digits, . _ and -"),
    recognise: z
      .strictObject({
        commands: texts.optional(),
        keys: texts.optional(),
        any: texts.optional(),
        none: texts.optional(),
        where: conditions.optional(),
        list: z.literal(true).optional(),
        imports: texts.optional(),
      })
      .refine(
        ({ commands = [], keys = [], any = [], where = [] }) =>
          commands.length + keys.length + any.length + where.length > 0,
        "recognises nothing: give `commands`, `keys`, `any` or `where`",
      ),
    kinds: z
      .array(
        z.strictObject({
          kind: z.enum(["dataset", "preset", "full-fine-tune", "unknown"]),
          where: conditions,
        }),
      )
      .max(20)
      .optional(),
    within: text.optional(),
    columns: z.partialRecord(column, rule),
    console: z
      .strictObject({
        lines: z.array(line).max(20).optional(),
        bar: z.string().max(200).optional(),
        bar_loss: texts.optional(),
        done: texts.optional(),
        stopped: texts.optional(),
      })
      .optional(),
    files: z
      .strictObject({
        output: texts.optional(),
        default_output: text.optional(),
        layout: z.literal("transformers").optional(),
        final: fileNames,
        checkpoints: fileNames,
        samples: fileNames,
        last_is_final: z.boolean().optional(),
        logs: texts.optional(),
        metrics: z
          .strictObject({ file: fileName, step: text, loss: texts, total: text.optional() })
          .optional(),
        data: texts.optional(),
        dataset_file: texts.optional(),
        configs: texts.optional(),
        name: texts.optional(),
        steps: texts.optional(),
      })
      .optional(),
  });
}
let made: ReturnType<typeof makeForm> | undefined;

/** One thing that is wrong with a dialect's file; `line` counts from 1. */
export type DialectFault = { line: number; path: string; message: string };

/**
 * Reads a dialect's file (TOML; docs/dialects.md). Answers with the table, or with everything that is
 * wrong with it. No text in it is ever a regular expression or a program.
 */
export function readDialect(source: string): Declaration | DialectFault[] {
  if (source.length > MOST_DIALECT)
    return [{ line: 1, path: "", message: `holds more than ${MOST_DIALECT} characters` }];
  let value: unknown;
  try {
    value = parseToml(source);
  } catch (error) {
    if (!(error instanceof ConfigSyntaxError)) throw error;
    return [{ line: error.line, path: "", message: error.message }];
  }
  made ??= makeForm();
  const parsed = made.safeParse(value);
  const faults = (parsed.error?.issues ?? []).flatMap((issue) => {
    const named = issue.code === "unrecognized_keys" ? issue.keys : [undefined];
    return named.map((key) => {
      const path = key === undefined ? issue.path : [...issue.path, key];
      const message = key === undefined ? issue.message : "is no word of this form";
      return { line: lineOf(source, path), path: path.join("."), message };
    });
  });
  for (const [name, given] of Object.entries(parsed.data?.columns ?? {}))
    for (const [where, said] of constantsOf(given ?? {})) {
      const message = mismatch(name, said);
      const path = ["columns", name, ...where];
      if (message) faults.push({ line: lineOf(source, path), path: path.join("."), message });
    }
  if (parsed.data && faults.length === 0) return parsed.data;
  return faults.sort((a, b) => a.line - b.line);
}

type Form = z.infer<ReturnType<typeof makeForm>>;
type Rule = Omit<NonNullable<Form["columns"][Column]>, "or"> & { or?: Rule };
type Placed = [where: (string | number)[], value: unknown];

/** The values that a rule says itself, and where. */
const constantsOf = (given: Rule): Placed[] => [
  ...(given.default === undefined ? [] : [[["default"], given.default] as Placed]),
  ...(["cases", "defaults"] as const).flatMap((word) =>
    (given[word] ?? []).map(({ value }, i): Placed => [[word, i, "value"], value]),
  ),
  ...(given.or ? constantsOf(given.or) : []).map(
    ([where, value]): Placed => [["or", ...where], value],
  ),
  ...Object.entries(given.words ?? {}).map(([word, value]): Placed => [["words", word], value]),
  ...Object.entries(given.flags ?? {}).map(([key, value]): Placed => [["flags", key], value]),
];

/** Why a value does not fit a column; undefined where it does. */
function mismatch(name: string, value: unknown): string | undefined {
  const field: RunField | undefined = Object.hasOwn(runFields, name)
    ? runFields[name as Column]
    : undefined;
  if (!field) return undefined;
  const { type, values, min, max, longest } = field;
  if (type === "integer" || type === "number") {
    if (typeof value !== "number" || (type === "integer" && !Number.isInteger(value)))
      return `is no ${type === "integer" ? "whole number" : "number"}, as ${name} is`;
    if (value < (min ?? -Infinity) || value > (max ?? Infinity)) return `does not fit ${name}`;
    return undefined;
  }
  if (typeof value !== "string") return `is no text, as ${name} is`;
  if (values && !values.includes(value)) return `is none of ${values.join(", ")}`;
  return longest !== undefined && value.length > longest ? `does not fit ${name}` : undefined;
}

/**
 * The line (from 1) of a TOML text where the value at a path is, or the nearest table around it.
 * Headers and keys alone are looked at, which is enough for files of this form.
 */
export function lineOf(source: string, path: readonly PropertyKey[]): number {
  let header: string[] = [];
  let best = { line: 1, shared: 0 };
  const seen = new Map<string, number>();
  for (const [index, text] of source.split("\n").entries()) {
    const line = text.trim();
    const [, list, name = ""] = /^\[(\[?)\s*([^[\]]{1,400})\]/.exec(line) ?? [];
    const key = name === "" ? /^("[^"]{1,200}"|[\w.-]{1,200})\s*=/.exec(line)?.[1] : undefined;
    if (name !== "") {
      header = keyParts(name);
      if (list === "[") {
        const count = seen.get(name) ?? 0;
        seen.set(name, count + 1);
        header = [...header, String(count)];
      }
    }
    const here = key === undefined ? header : [...header, ...keyParts(key)];
    if (name === "" && key === undefined) continue;
    // Of an inline table or list the line of its key is the nearest.
    const shared = here.findIndex((part, i) => String(path[i]) !== part);
    const common = shared === -1 ? here.length : 0;
    if (common > best.shared) best = { line: index + 1, shared: common };
  }
  return best.line;
}

/** The parts of a dotted TOML key; a quoted one is one part. */
const keyParts = (key: string): string[] =>
  (key.match(/"[^"]*"|[^.\s]+/g) ?? []).map((part) => part.replace(/^"|"$/g, ""));

/** Whether `readDialect` has found faults. */
export const isFaulty = (read: Declaration | DialectFault[]): read is DialectFault[] =>
  Array.isArray(read);
