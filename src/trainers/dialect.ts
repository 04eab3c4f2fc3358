import { archOf, modelTypeOf } from "../shared/architectures.ts";
import type { JsonValue } from "../shared/json.ts";
import { type RunField, runFields, type TrainerField, type ValueOf } from "../shared/run-fields.ts";
import type { Command } from "./command.ts";
import { at, type JsonObject, lookUp } from "./formats/objects.ts";

/** A dialect's name: a built-in one's, a person's own, or `unknown`. */
export type Trainer = string;

/** From here on a LoKr's rank means "the full matrix", which is no rank. */
export const FULL_RANK = 10_000;

/** What a file is: one that starts a LoRA run, or one of those that look much like it. */
export type Kind = "run" | "dataset" | "preset" | "full-fine-tune" | "embedding" | "unknown";

/**
 * Where a column's value was read from: a key of the file (of the separate dataset file, behind
 * `dataset_file.`), an argument of the command, an option of what starts the script, or nowhere.
 */
export type Origin =
  | { from: "file"; key: string }
  | { from: "argument"; name: string }
  | { from: "launcher"; name: string }
  | { from: "default" };

export type Warning = { code: string; message: string; path?: string };

/** The columns of a task that a trainer's file or command can fill. */
export type TaskFields = { [C in TrainerField]?: ValueOf<C> };

export type Column = TrainerField;

/** What a dialect reads from. */
export type Input = {
  /** The parsed file; empty when there is only a command. */
  root: JsonObject;
  /** The command's arguments by name. */
  args: JsonObject;
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

/** What a dialect knows of a LoKr's rank. */
type Lokr = {
  rank: number | undefined;
  rankKey: string;
  isFull?: boolean;
  switchName?: string;
};

/** What is read from one file, column by column, and what there is to say about it. */
export class Draft {
  readonly fields: TaskFields = {};
  readonly sources: { [C in Column]?: Origin } = {};
  readonly warnings: Warning[] = [];

  /** Names of arguments that a command states over the file, where the dialect reads both. */
  private args: { [name: string]: unknown } = {};

  /** From here on these names are arguments and no keys of the file. */
  readsArguments(args: { [name: string]: unknown }) {
    this.args = args;
  }

  /** The columns that hold the trainer's own default, in the order in which they were filled. */
  get defaults(): Column[] {
    return columnsOf(this.sources).filter((column) => this.sources[column]?.from === "default");
  }

  warn(code: string, message: string, path?: string) {
    this.warnings.push(path === undefined ? { code, message } : { code, message, path });
  }

  has(column: Column) {
    return this.fields[column] !== undefined;
  }

  /** Fills a column. `from` is the key or argument that tells it: the most telling one, where it takes several. */
  set<C extends Column>(column: C, value: TaskFields[C], from: string | Origin) {
    if (value === undefined) return;
    const { longest } = fieldOf(column);
    if (longest !== undefined && String(value).length > longest) {
      this.warn(
        "too-long",
        `The file's text for ${column} has ${String(value).length} characters, more than the ${longest} of the column; it stays in the config.`,
      );
      return;
    }
    this.put(column, value, typeof from === "string" ? this.originOf(from) : from);
  }

  private put<C extends Column>(column: C, value: TaskFields[C], origin: Origin) {
    this.fields[column] = value;
    // Last in order, as if it were new.
    delete this.sources[column];
    this.sources[column] = origin;
  }

  private originOf(key: string): Origin {
    const first = key.split(/[. ]/, 1)[0] ?? "";
    return lookUp(this.args, first) === undefined
      ? { from: "file", key }
      : { from: "argument", name: key };
  }

  /** Sets the trainer's own default where the file is silent. */
  otherwise<C extends Column>(column: C, value: TaskFields[C]) {
    if (value === undefined || this.fields[column] !== undefined || this.empty.has(column)) return;
    this.put(column, value, { from: "default" });
  }

  /** Columns that stay empty although the trainer has a default. */
  private readonly empty = new Set<Column>();

  noDefault(...columns: Column[]) {
    for (const column of columns) this.empty.add(column);
  }

  drop(...columns: Column[]) {
    for (const column of columns) {
      delete this.fields[column];
      delete this.sources[column];
    }
  }

  /**
   * The one rule for a LoKr of full matrices, which has no rank whatever number stands for one: the
   * trainer's own switch is on (`isFull`, with what it is called), or the number is FULL_RANK or more.
   * Other algorithms ignore the switch, which some forms write into every file.
   */
  readLokr({ rank, rankKey, isFull, switchName }: Lokr) {
    const isLokr = this.fields.network_algo === "lokr";
    const isHuge = rank !== undefined && rank >= FULL_RANK;
    if (!(isLokr && (isFull || isHuge)) && !(isHuge && rank > runFields.lora_rank.max))
      return false;
    const why =
      isFull && isLokr && switchName
        ? `${switchName} trains the full matrix`
        : `${rankKey} = ${rank} means the full matrix`;
    this.drop("lora_rank");
    this.noDefault("lora_rank");
    this.unwarn(({ path }) => path === rankKey);
    this.warn("full-rank", `${why}, which is no rank; lora_rank is left empty.`, rankKey);
    return true;
  }

  /**
   * Reads a column that several data sets state each for themselves: one value where they agree, else
   * the list of all, which only a text can hold, and a warning that names them.
   */
  readSeveral(
    column: Column,
    values: readonly (JsonValue | undefined)[],
    path: string,
    separator = "; ",
  ) {
    const stated = values.filter((value) => value !== undefined && !isUnset(value));
    const texts = new Map(
      stated.map((value) => [toText(value, ",") ?? JSON.stringify(value), value] as const),
    );
    if (texts.size < 2) return this.read(column, stated[0], path);
    const list = [...texts.keys()].join(separator);
    this.noDefault(column);
    if (isNumberColumn(column)) {
      this.drop(column);
      this.warn(
        `several-${column.replaceAll("_", "-")}s`,
        `${path} has several values (${list}); ${column} is left empty.`,
        path,
      );
    } else {
      this.read(column, list, path);
      this.warn(
        `several-${column.replaceAll("_", "-")}s`,
        `${path} has several values, which ${column} lists: ${list}.`,
        path,
      );
    }
    return true;
  }

  /** Takes back warnings that something said later makes needless. */
  unwarn(which: (warning: Warning) => boolean) {
    const kept = this.warnings.filter((warning) => !which(warning));
    this.warnings.splice(0, this.warnings.length, ...kept);
  }

  /** Takes over what another draft read of a column. */
  take<C extends Column>(column: C, from: Draft) {
    const origin = from.sources[column];
    if (origin)
      this.set(
        column,
        from.fields[column],
        origin.from === "file" ? { ...origin, key: `dataset_file.${origin.key}` } : origin,
      );
  }

  /**
   * Reads a value into a column as its type; false when the file leaves it unset. `path` is its key or
   * argument, as sentences name it; `origin` says where it stands, if that is elsewhere.
   */
  read(
    column: Column,
    value: JsonValue | undefined,
    path: string,
    origin: Origin = this.originOf(path),
  ): boolean {
    if (isUnset(value)) return false;
    if (column === "mixed_precision") this.precision(value, path, {}, origin);
    else if (column === "model_type") this.set(column, toModelType(value), origin);
    else if (isNumberColumn(column)) this.number(column, value, path, origin);
    else this.text(column, value, path, origin);
    // What the file sets is never the trainer's default, even where no column can hold it.
    if (!this.has(column)) this.noDefault(column);
    return true;
  }

  private number(column: NumberColumn, value: JsonValue | undefined, path: string, origin: Origin) {
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
    else this.set(column, number, origin);
  }

  private text(column: TextColumn, value: JsonValue | undefined, path: string, origin: Origin) {
    const text = toText(
      value,
      column === "sample_prompts" ? "\n" : column === "resolution" ? "," : ", ",
    );
    if (text === undefined)
      this.warn("not-a-text", `${path} is no text; it stays in the config.`, path);
    else this.set(column, text, origin);
  }

  /** Only fp16, bf16 and no have a column; anything else is left in the config. */
  precision(
    value: JsonValue | undefined,
    path: string,
    spellings: typeof precisions = {},
    origin: Origin = this.originOf(path),
  ) {
    this.noDefault("mixed_precision");
    const name = String(value).toLowerCase();
    const known = lookUp(spellings, name) ?? lookUp(precisions, name);
    if (known) this.set("mixed_precision", known, origin);
    else
      this.warn(
        "mixed-precision",
        `${path} = ${name} is neither fp16, bf16 nor no; it stays in the config.`,
        path,
      );
  }
}

/** The catalogue's id for a trainer's word for an architecture; an unknown word stays, with hyphens. */
export const archOrWord = (word: string): string =>
  archOf(word) ?? word.toLowerCase().replace(/:.*/s, "").replaceAll("_", "-");

const toModelType = (value: JsonValue | undefined): TaskFields["model_type"] => {
  const name = String(value).toLowerCase();
  const known = modelTypeOf(archOf(name));
  if (known) return known;
  if (/^(?:llm|causal|llama|qwen\d|mistral|gemma|gpt|language)/.test(name)) return "llm";
  return /diffusion|^sd|flux|image|video|wan/.test(name) ? "stable-diffusion" : undefined;
};

/** The script's own name as the origin of what it settles. */
export const scriptOf = (command: Command | null): Origin => ({
  from: "argument",
  name: command?.script ?? "",
});

/** What accelerate is told of the precision, for trainers that take its word where they have none. */
export function readLaunchedPrecision(draft: Draft, command: Command | null) {
  if (draft.has("mixed_precision")) return;
  const name = "--mixed_precision";
  draft.read("mixed_precision", command?.launcher.mixed_precision, name, {
    from: "launcher",
    name,
  });
}

/** A table has no keys but columns, which Object.keys cannot say. */
const columnsOf = (table: { [C in Column]?: unknown }) => Object.keys(table) as Column[];

/** Fills a draft by a dialect: its table's keys, what it refines, then its defaults. */
export function fill(draft: Draft, dialect: Dialect, input: Input) {
  const source = dialect.source ? dialect.source(input) : input.flat;
  if (source === input.top || source === input.flat) draft.readsArguments(input.args);
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
  const origin = draft.sources.lora_rank;
  const rankKey = origin?.from === "file" ? origin.key : "lora_rank";
  if (draft.readLokr({ rank, rankKey })) return;
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
