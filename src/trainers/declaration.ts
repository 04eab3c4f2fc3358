import type { JsonValue } from "../shared/json.ts";
import { archOfName } from "./arch.ts";
import { type Command, isProgram } from "./command.ts";
import {
  type Column,
  type Dialect,
  type Draft,
  isOn,
  type Kind,
  type TaskFields,
  toNumber,
  toText,
} from "./dialect.ts";
import { at, isObject, type JsonObject, lookUp } from "./formats/objects.ts";
import { basename } from "./path.ts";

/** A plain value of a setting. */
export type Scalar = string | number | boolean;

/**
 * What has to hold of one setting; all that is said of it has to. Texts are compared without regard
 * to case, and a number or a boolean by what it is written as.
 */
export type Condition = {
  /** A setting, or the names it had over time: the first that is there. */
  key: string | string[];
  /** Its value is one of these. */
  is?: Scalar[];
  /** Its value is none of these; a setting that is not there is none of them. */
  not?: Scalar[];
  /** Its text holds this one. */
  has?: string;
  /** Whether it is there, and not empty. */
  given?: boolean;
};

/**
 * How one column is filled. The first of `cases` that holds wins, then the first of `keys` that has a value,
 * then `joined`, a flag, the launcher, and what `or` says.
 */
export type ColumnRule = {
  /** What several settings say together. */
  cases?: { where: Condition[]; value: Scalar }[];
  /** Paths of settings, such as `network.rank` or `datasets[].path`; arguments are named without dashes. */
  keys?: string[];
  /** What a spelling of the trainer's means here. Other spellings stay as they are. */
  words?: { [spelling: string]: Scalar };
  /** Takes only values that `words` or the catalogue of `arch` know. */
  known?: true;
  /** Settings that say the column together, such as a width and a height: all of them, joined by commas. */
  joined?: string[];
  /** Settings that are on or off, and what the first that is on says. */
  flags?: { [key: string]: Scalar };
  /** Values that mean "not set". */
  unset?: Scalar[];
  /** An option of what starts the trainer, such as accelerate's `mixed_precision`. */
  launcher?: string;
  /** How the column is filled where all of this found nothing; defaults are the outer rule's. */
  or?: ColumnRule;
  /** The trainer's own default; the answer marks it as such. */
  default?: Scalar;
  /** The column whose value is the default of this one. */
  default_of?: Column;
  /** Defaults that depend on other settings; the first that holds goes before `default`. */
  defaults?: { where: Condition[]; value: Scalar }[];
  /** Where this holds, the column stays empty: the trainer does not use the setting. */
  unless?: Condition[];
  /** Only what comes after the last one is meant: of `/` the name of a path, of `.` that of a class. */
  after?: "/" | ".";
  /** The column's path is one below the path in this column. */
  below?: Column;
  /** The text names a base model or an architecture: the catalogue's name for it is taken. */
  arch?: boolean;
};

/** What the console and the files of a run look like; the client alone reads these. */
export type ConsoleRules = {
  /** Lines with `{step}`, `{total}`, `{loss}`, `{epoch}`, `{total_epochs}` or a series' name in braces; `{}` skips. */
  lines?: string[];
  /** The description of the progress bar that counts the steps. */
  bar?: string;
  /** The names of the loss in that bar, best first. */
  bar_loss?: string[];
  /** Texts that only this trainer prints, by which a script of any name is known to use it. */
  known_by?: string[];
  /** Texts of lines that say that the run came to its end, and that it was stopped or failed. */
  done?: string[];
  stopped?: string[];
};

export type FileRules = {
  /** Settings that name the folder of the weights, the first that is there; and the trainer's default. */
  output?: string[];
  default_output?: string;
  /** Paths below it: `{step}`, `{epoch}` are numbers, `{name}` the run's name, `{}` anything within a name. */
  final?: string[];
  checkpoints?: string[];
  samples?: string[];
  /** Whether the newest checkpoint of a complete run is its final weights. */
  last_is_final?: boolean;
  /** Settings that name the folder of TensorBoard's event files. */
  logs?: string[];
  /** JSON lines below the output folder, and the names of the step and of the loss in them. */
  metrics?: { file: string; step: string; loss: string[]; total?: string };
  /** Settings that name the training data, the separate file that lists them, and files that a repeat needs. */
  data?: string[];
  dataset_file?: string[];
  configs?: string[];
  /** Settings that name the run and the number of steps. */
  name?: string[];
  steps?: string[];
};

/**
 * A dialect that is a table: what a person may give in a file, and what the built-in dialects of this
 * form are. docs/dialects.md has the words and an example.
 */
export type Declaration = {
  /** The run's `trainer`. */
  name: string;
  recognise: {
    /** `swift sft` is a program and its sub-command, `pkg.train` a module, `dir/train.py` the end of a script's path. */
    commands?: string[];
    /** A file is of this dialect where all of `keys`, one of `any`, none of `none` and all of `where` hold. */
    keys?: string[];
    /** The file is a list, and all these are said of its first object; a column's key is then `[].KEY`. */
    list?: true;
    any?: string[];
    none?: string[];
    where?: Condition[];
  };
  /** What a file is that is no LoRA run; the first that holds. */
  kinds?: { kind: Exclude<Kind, "run">; where: Condition[] }[];
  /** The section that the columns' keys start from. */
  within?: string;
  columns: { [C in Column]?: ColumnRule };
  console?: ConsoleRules;
  files?: FileRules;
};

/** Most values that a `[]` in a key gives. */
const MOST_ITEMS = 1000;

/**
 * The value at a key path; `a[].b` is the list of what each item of `a` has at `b`, each once.
 * Names may have the two dashes of arguments, as SimpleTuner's files do.
 */
export function valueAt(source: JsonValue | undefined, path: string): JsonValue | undefined {
  const [head = "", ...rest] = path.split("[].");
  if (rest.length === 0) {
    // `tune run … model.lora_rank=64` sets the whole path at once.
    const whole = isObject(source) ? lookUp(source, head) : undefined;
    return whole ?? at(source, head) ?? at(source, `--${head}`);
  }
  const items = head === "" ? source : at(source, head);
  if (!Array.isArray(items)) return undefined;
  const inner = rest.join("[].");
  const found = items.slice(0, MOST_ITEMS).flatMap((item) => valueAt(item, inner) ?? []);
  return found.length > 0 ? [...new Set(found)] : undefined;
}

const isUnset = (value: JsonValue | undefined) =>
  value === undefined || value === null || value === "";

const spelled = (value: JsonValue | undefined): string =>
  typeof value === "boolean" ? String(value) : (toText(value, ",") ?? "").toLowerCase();

/** The first of some settings that is there. */
const firstOf = (source: JsonValue | undefined, keys: string[]): JsonValue | undefined => {
  for (const key of keys) {
    const value = valueAt(source, key);
    if (!isUnset(value)) return value;
  }
  return undefined;
};

const isOff = (value: JsonValue | undefined) => /^(?:false|no|off|0)$/.test(spelled(value));

const isOneOf = (value: JsonValue | undefined, words: Scalar[]) =>
  words.some((word) => {
    if (typeof word === "boolean") return word ? isOn(value) : isOff(value);
    const number = typeof word === "number" ? toNumber(value) : undefined;
    return number === word || spelled(value) === String(word).toLowerCase();
  });

/** Whether a condition holds of the settings. */
export function holds(source: JsonValue | undefined, condition: Condition): boolean {
  const { key } = condition;
  const value = typeof key === "string" ? valueAt(source, key) : firstOf(source, key);
  const { is, not, has, given } = condition;
  if (given !== undefined && given === isUnset(value)) return false;
  if (is && !isOneOf(value, is)) return false;
  if (not && !isUnset(value) && isOneOf(value, not)) return false;
  return has === undefined || spelled(value).includes(has.toLowerCase());
}

const isNamed = (command: Command | null, words: string[]) =>
  command !== null && words.some((word) => isProgram(command, word));

/** Whether the settings themselves are of the dialect. */
function hasMarks({ recognise }: Declaration, top: JsonObject): boolean {
  const { keys = [], any = [], none = [], where = [] } = recognise;
  if (keys.length + any.length + where.length === 0) return false;
  const has = (key: string) => valueAt(top, key) !== undefined;
  return (
    keys.every(has) &&
    (any.length === 0 || any.some(has)) &&
    !none.some(has) &&
    where.every((condition) => holds(top, condition))
  );
}

/** A dialect as the reader takes it. */
export function toDialect(declaration: Declaration): Dialect {
  const { name, recognise, kinds = [], within, columns } = declaration;
  return {
    trainer: name,
    recognise: (input) => {
      const isMarked = !recognise.list && hasMarks(declaration, input.top);
      if (!isMarked && !isNamed(input.command, recognise.commands ?? [])) return null;
      const found = kinds.find(({ where }) => where.every((one) => holds(input.top, one)));
      return found?.kind ?? "run";
    },
    recogniseList: (list) => {
      const first = list.find(isObject);
      return recognise.list && first && hasMarks(declaration, first) ? "dataset" : null;
    },
    table: {},
    refine: (draft, { top, list, command }) => {
      const source = list ?? (within === undefined ? top : at(top, within));
      // `columns` has no keys but columns, which Object.keys cannot say.
      const names = Object.keys(columns) as Column[];
      for (const column of names) {
        const rule = columns[column] ?? {};
        if (isUnused(rule, source)) draft.noDefault(column);
        else readColumn(draft, column, rule, source, command);
      }
      for (const column of names) setDefault(draft, column, columns[column] ?? {}, source);
      for (const column of names) putBelow(draft, column, columns[column]?.below);
    },
  };
}

/** Puts the path of a column below that of another, unless it is absolute; it stays a default where it was one. */
function putBelow(draft: Draft, column: Column, below: Column | undefined) {
  const path = draft.fields[column];
  const parent = below && draft.fields[below];
  if (path === undefined || parent === undefined || /^(?:[/\\~]|[a-z]:)/i.test(String(path)))
    return;
  const isDefault = draft.defaults.includes(column);
  draft.drop(column);
  // A column that is put below another is a path, and so a text.
  const value = `${String(parent).replace(/[/\\]$/, "")}/${path}` as TaskFields[typeof column];
  if (isDefault) draft.otherwise(column, value);
  else draft.set(column, value);
}

const isUnused = ({ unless }: ColumnRule, source: JsonValue | undefined) =>
  unless?.every((one) => holds(source, one)) ?? false;

/** Fills a column from what the settings and the command say; false where they say nothing of it. */
function readColumn(
  draft: Draft,
  column: Column,
  rule: ColumnRule,
  source: JsonValue | undefined,
  command: Command | null,
): boolean {
  for (const { where, value } of rule.cases ?? [])
    if (where.every((one) => holds(source, one))) return draft.read(column, value, column);
  for (const key of rule.keys ?? []) {
    const value = valueAt(source, key);
    if (isUnset(value) || (rule.unset && isOneOf(value, rule.unset))) continue;
    if (draft.read(column, meant(rule, value), key)) return true;
  }
  const joined = rule.joined ?? [];
  const parts = joined.flatMap((key) => valueAt(source, key) ?? []);
  if (parts.length > 0 && parts.length === joined.length)
    if (draft.read(column, toText(parts, ","), joined.join(", "))) return true;
  for (const [key, value] of Object.entries(rule.flags ?? {}))
    if (isOn(valueAt(source, key)) && draft.read(column, value, key)) return true;
  const { launcher, or } = rule;
  if (
    launcher !== undefined &&
    draft.read(column, command?.launcher[launcher], `launcher ${launcher}`)
  )
    return true;
  return (
    or !== undefined && !isUnused(or, source) && readColumn(draft, column, or, source, command)
  );
}

/** What a setting's value means in its column; undefined where that is not known and has to be. */
function meant(rule: ColumnRule, value: JsonValue | undefined): JsonValue | undefined {
  const word = rule.words && lookUp(rule.words, spelled(value));
  if (word !== undefined) return word;
  const arch = rule.arch ? archOfName(toText(value)) : undefined;
  if (arch !== undefined || rule.known) return arch;
  if (rule.after === "/") return basename(toText(value) ?? "");
  return rule.after === "." ? (toText(value) ?? "").replace(/^.*\./, "") : value;
}

function setDefault<C extends Column>(
  draft: Draft,
  column: C,
  rule: ColumnRule,
  source: JsonValue | undefined,
) {
  const special = rule.defaults?.find(({ where }) => where.every((one) => holds(source, one)));
  const value =
    special?.value ?? rule.default ?? (rule.default_of && draft.fields[rule.default_of]);
  // The form's check holds the built-in ones, and a person's own, to the column's type.
  draft.otherwise(column, value as TaskFields[C]);
}

/** Arguments' names that mean the same wherever they are written; see `readByName`. */
export const plainNames: { [C in Column]?: string[] } = {
  base_model_path: ["pretrained_model_name_or_path", "model_name_or_path", "base_model"],
  lora_rank: ["lora_rank", "lora_r", "network_dim"],
  lora_alpha: ["lora_alpha", "network_alpha"],
  dropout: ["lora_dropout", "network_dropout"],
  batch_size: ["per_device_train_batch_size", "train_batch_size", "micro_batch_size"],
  gradient_accumulation_steps: ["gradient_accumulation_steps"],
  epochs: ["num_train_epochs", "num_epochs", "max_train_epochs", "epochs"],
  max_steps: ["max_train_steps", "max_steps", "train_steps"],
  learning_rate: ["learning_rate", "lr"],
  optimizer: ["optimizer", "optim", "optimizer_type"],
  scheduler: ["lr_scheduler_type", "lr_scheduler"],
  mixed_precision: ["mixed_precision"],
  output_dir: ["output_dir", "output_path"],
  log_dir: ["logging_dir"],
  seed: ["seed"],
  resolution: ["resolution"],
};

/**
 * Reads the arguments of a trainer nobody knows, by names that mean the same everywhere. No default is
 * known, and a whole number of steps or epochs below 1 means "not set". Returns the columns it filled.
 */
export function readByName(draft: Draft, options: JsonObject): Column[] {
  const found: Column[] = [];
  // `plainNames` has no keys but columns, which Object.keys cannot say.
  for (const column of Object.keys(plainNames) as Column[]) {
    const counts = column === "max_steps" || column === "epochs";
    for (const name of plainNames[column] ?? []) {
      const value = lookUp(options, name);
      if (isUnset(value) || value === true || (counts && (toNumber(value) ?? 1) <= 0)) continue;
      draft.read(column, value, name);
      if (draft.has(column)) found.push(column);
      break;
    }
  }
  return found;
}
