import type { JsonValue } from "../shared/json.ts";
import { type RunField, runFields, type TrainerField, type ValueOf } from "../shared/run-fields.ts";
import type { Command } from "./command.ts";
import { at, type JsonObject, lookUp } from "./formats/objects.ts";

/** A dialect's name: a built-in one's, a person's own, or `unknown`. */
export type Trainer = string;

/** From here on a LoKr's rank means "the full matrix", which is no rank. */
export const FULL_RANK = 10_000;

/** What a file is: one that starts a LoRA run, or one of those that look much like it. */
export type Kind = "run" | "dataset" | "preset" | "full-fine-tune" | "unknown";

export type Warning = { code: string; message: string; path?: string };

/** The columns of a task that a trainer's file or command can fill. */
export type TaskFields = { [C in TrainerField]?: ValueOf<C> };

export type Column = TrainerField;

/** What a dialect reads from. */
export type Input = {
  /** The parsed file; empty when there is only a command. */
  root: JsonObject;
  /** The file with the command's arguments over it. */
  top: JsonObject;
  /** The file as sd-scripts and its kin see it: sections flattened one level, arguments over the file. */
  flat: JsonObject;
  command: Command | null;
  /** The file where it is a list; then the objects above are empty. */
  list: JsonValue[] | null;
  /** The client's name for the file, a hint only. */
  path: string;
  format: string;
};

/** Key paths a column is read from, the first with a value wins, and the trainer's own default. */
type Rule<C extends Column> = { keys: string[]; otherwise?: TaskFields[C] };
export type Table = { [C in Column]?: Rule<C> };

export type Dialect = {
  trainer: Trainer;
  /** What the file is in this dialect, or null when it is of another one. Never asked of a list. */
  recognise: (input: Input) => Kind | null;
  /** The same for a file that is a list. */
  recogniseList?: (list: JsonValue[]) => Kind | null;
  /** What the table's key paths start from. */
  source?: (input: Input) => JsonValue | undefined;
  table: Table;
  /** What takes more than a key path; runs after the table's keys and before its defaults. */
  refine?: (draft: Draft, input: Input) => void;
};

/** A number as trainers' Python reads it: also from strings like "1e-4", "1_000" and " 2 ". */
export function toNumber(value: JsonValue | undefined): number | undefined {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || value.length > 64) return undefined;
  const digits = value.trim().replace(/(?<=\d)_(?=\d)/g, "");
  return /^[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?$/i.test(digits) ? Number(digits) : undefined;
}

/** A text; lists become one, joined. Booleans and empty texts are none. */
export function toText(value: JsonValue | undefined, separator = ", "): string | undefined {
  if (typeof value === "number") return String(value);
  if (typeof value === "string") return value === "" ? undefined : value;
  if (!Array.isArray(value)) return undefined;
  const parts = value.map((item) => toText(item, ",")).filter((part) => part !== undefined);
  return parts.length > 0 ? parts.join(separator) : undefined;
}

/** Flags, also as the strings that command lines and `network_args` hold. */
export const isOn = (value: JsonValue | undefined): boolean =>
  value === true || value === 1 || /^(?:true|yes|on|1)$/i.test(toText(value) ?? "");

const isUnset = (value: JsonValue | undefined) =>
  value === undefined ||
  value === null ||
  value === "" ||
  (Array.isArray(value) && value.length === 0);

/** Columns of numbers, and of any text: a few may only be one of some words. */
type NumberColumn = {
  [C in Column]: number extends ValueOf<C> ? C : never;
}[Column];
type TextColumn = {
  [C in Column]: string extends ValueOf<C> ? C : never;
}[Column];

const fieldOf = (column: Column): RunField => runFields[column];
const isNumberColumn = (column: Column): column is NumberColumn =>
  fieldOf(column).type === "integer" || fieldOf(column).type === "number";

/** The column's own range: what does not fit stays in the config. */
function rangeOf(column: NumberColumn) {
  const { type, min, max } = fieldOf(column);
  const most = type === "integer" ? Number.MAX_SAFE_INTEGER : Number.MAX_VALUE;
  return { min: min ?? -most, max: max ?? most, isWhole: type === "integer" };
}

const precisions: Record<string, ValueOf<"mixed_precision">> = {
  fp16: "fp16",
  float16: "fp16",
  float_16: "fp16",
  bf16: "bf16",
  bfloat16: "bf16",
  bfloat_16: "bf16",
  no: "no",
  false: "no",
};

/** What is read from one file, column by column, and what there is to say about it. */
export class Draft {
  readonly fields: TaskFields = {};
  readonly defaults: Column[] = [];
  readonly warnings: Warning[] = [];

  warn(code: string, message: string, path?: string) {
    this.warnings.push(path === undefined ? { code, message } : { code, message, path });
  }

  has(column: Column) {
    return this.fields[column] !== undefined;
  }

  set<C extends Column>(column: C, value: TaskFields[C]) {
    if (value === undefined) return;
    const { longest } = fieldOf(column);
    if (longest !== undefined && String(value).length > longest) {
      this.warn(
        "too-long",
        `The file's text for ${column} has ${String(value).length} characters, more than the ${longest} of the column; it stays in the config.`,
      );
      return;
    }
    this.fields[column] = value;
    const known = this.defaults.indexOf(column);
    if (known !== -1) this.defaults.splice(known, 1);
  }

  /** Sets the trainer's own default where the file is silent. */
  otherwise<C extends Column>(column: C, value: TaskFields[C]) {
    if (value === undefined || this.fields[column] !== undefined || this.empty.has(column)) return;
    this.fields[column] = value;
    this.defaults.push(column);
  }

  /** Columns that stay empty although the trainer has a default. */
  private readonly empty = new Set<Column>();

  noDefault(...columns: Column[]) {
    for (const column of columns) this.empty.add(column);
  }

  drop(...columns: Column[]) {
    for (const column of columns) {
      delete this.fields[column];
      const known = this.defaults.indexOf(column);
      if (known !== -1) this.defaults.splice(known, 1);
    }
  }

  /** Leaves the rank empty where the number in its place means the full matrix. */
  fullRank(why: string, ...paths: string[]) {
    this.drop("lora_rank");
    this.noDefault("lora_rank");
    this.unwarn(({ path }) => path !== undefined && paths.includes(path));
    this.warn("full-rank", `${why}, which is no rank; lora_rank is left empty.`, paths[0]);
  }

  /** Takes back warnings that something said later makes needless. */
  unwarn(which: (warning: Warning) => boolean) {
    const kept = this.warnings.filter((warning) => !which(warning));
    this.warnings.splice(0, this.warnings.length, ...kept);
  }

  /** Takes over what another draft read of a column. */
  take<C extends Column>(column: C, from: Draft) {
    this.set(column, from.fields[column]);
  }

  /** Reads a value into a column as its type; false when the file leaves it unset. */
  read(column: Column, value: JsonValue | undefined, path: string): boolean {
    if (isUnset(value)) return false;
    if (column === "mixed_precision") this.precision(value, path);
    else if (column === "model_type") this.set(column, toModelType(value));
    else if (isNumberColumn(column)) this.number(column, value, path);
    else this.text(column, value, path);
    // What the file sets is never the trainer's default, even where no column can hold it.
    if (!this.has(column)) this.noDefault(column);
    return true;
  }

  private number(column: NumberColumn, value: JsonValue | undefined, path: string) {
    const { min, max, isWhole } = rangeOf(column);
    const number = toNumber(value);
    if (number === undefined || !Number.isFinite(number))
      this.warn("not-a-number", `${path} is no number; it stays in the config.`, path);
    else if (number < min || number > max || (isWhole && !Number.isInteger(number)))
      this.warn(
        "out-of-range",
        `${path} = ${number} does not fit ${column}; it stays in the config.`,
        path,
      );
    else this.set(column, number);
  }

  private text(column: TextColumn, value: JsonValue | undefined, path: string) {
    const text = toText(
      value,
      column === "sample_prompts" ? "\n" : column === "resolution" ? "," : ", ",
    );
    if (text === undefined)
      this.warn("not-a-text", `${path} is no text; it stays in the config.`, path);
    else this.set(column, text);
  }

  /** Only fp16, bf16 and no have a column; anything else is left in the config. */
  precision(value: JsonValue | undefined, path: string, spellings: typeof precisions = {}) {
    this.noDefault("mixed_precision");
    const name = String(value).toLowerCase();
    const known = lookUp(spellings, name) ?? lookUp(precisions, name);
    if (known) this.set("mixed_precision", known);
    else
      this.warn(
        "mixed-precision",
        `${path} = ${name} is neither fp16, bf16 nor no; it stays in the config.`,
        path,
      );
  }
}

const toModelType = (value: JsonValue | undefined): TaskFields["model_type"] => {
  const name = String(value).toLowerCase();
  if (/^(?:llm|causal|llama|qwen\d|mistral|gemma|gpt|language)/.test(name)) return "llm";
  return /diffusion|^sd|flux|image|video|wan/.test(name) ? "stable-diffusion" : undefined;
};

/** A table has no keys but columns, which Object.keys cannot say. */
const columnsOf = (table: Table) => Object.keys(table) as Column[];

/** Fills a draft by a dialect: its table's keys, what it refines, then its defaults. */
export function fill(draft: Draft, dialect: Dialect, input: Input) {
  const source = dialect.source ? dialect.source(input) : input.flat;
  for (const column of columnsOf(dialect.table))
    for (const key of dialect.table[column]?.keys ?? [])
      if (draft.read(column, at(source, key), key)) break;
  dialect.refine?.(draft, input);
  dropFalseRank(draft);
  for (const column of columnsOf(dialect.table)) fallBack(draft, dialect.table, column);
}

/** Algorithms that have no rank, although their files hold a number where one would stand. */
const rankless = new Set(["full", "native fine-tuning", "oft", "diag-oft", "boft", "ia3"]);

function dropFalseRank(draft: Draft) {
  const { network_algo: algo, lora_rank: rank } = draft.fields;
  if (algo === undefined || !rankless.has(algo)) return;
  const isDefault = draft.defaults.includes("lora_rank");
  draft.drop("lora_rank", "conv_lora_rank", "conv_alpha");
  draft.noDefault("lora_rank");
  if (rank !== undefined && !isDefault)
    draft.warn(
      "no-rank",
      `${algo} has no rank; the ${rank} that stands for one stays in the config.`,
    );
}

function fallBack<C extends Column>(draft: Draft, table: Table, column: C) {
  const rule: Rule<C> | undefined = table[column];
  draft.otherwise(column, rule?.otherwise);
}
