import { archOf, archOfName } from "../shared/architectures.ts";
import type { JsonValue } from "../shared/json.ts";
import { type Command, isProgram, programOf } from "./command.ts";
import type { ColumnRule, Condition, Declaration, Scalar } from "./declarations/form.ts";
import { declarations } from "./declarations/index.ts";
import {
  type Column,
  type Dialect,
  type Draft,
  isOn,
  type TaskFields,
  toNumber,
  toText,
} from "./dialect.ts";
import { at, isObject, type JsonObject, lookUp } from "./formats/objects.ts";
import { basename } from "./path.ts";

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

const programNames = ({ recognise }: Declaration): string[] =>
  (recognise.commands ?? []).flatMap((named) => programOf(named) ?? []);

const builtIn = declarations.flatMap(programNames);

/** The programs by which commands of the declared dialects are known, and of a person's own. */
export const programsOf = (own: Declaration[]): ReadonlySet<string> =>
  new Set([...builtIn, ...own.flatMap(programNames)]);

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

/** The settings that a declaration names: those of its columns, and of the files of a run. */
export function declaredSettings({ columns, within, files }: Declaration): string[] {
  const ofRule = (rule: ColumnRule): string[] => [
    ...(rule.keys ?? []),
    ...(rule.joined ?? []),
    ...Object.keys(rule.flags ?? {}),
    ...(rule.or ? ofRule(rule.or) : []),
  ];
  const read = Object.values(columns).flatMap(ofRule);
  return [
    ...read.map((key) => (within ? `${within}.${key}` : key)),
    ...(files?.output ?? []),
    ...(files?.data ?? []),
    ...(files?.steps ?? []),
  ];
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
    refine: (draft, { top, list, args, command }) => {
      if (!list && within === undefined) draft.readsArguments(args);
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
  const origin = draft.sources[column] ?? { from: "default" as const };
  draft.drop(column);
  // A column that is put below another is a path, and so a text.
  const value = `${String(parent).replace(/[/\\]$/, "")}/${path}` as TaskFields[typeof column];
  draft.set(column, value, origin);
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
    if (where.every((one) => holds(source, one)))
      return draft.read(column, value, where.flatMap(({ key }) => key)[0] ?? column);
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
    draft.read(column, command?.launcher[launcher], launcher, {
      from: "launcher",
      name: `--${launcher}`,
    })
  )
    return true;
  return (
    or !== undefined && !isUnused(or, source) && readColumn(draft, column, or, source, command)
  );
}

/** The architecture that a model's name or path, or a trainer's word for one, tells; a path is no word. */
const archOfText = (text: string) =>
  archOfName(text) ?? (text.includes("/") ? undefined : archOf(text));

/** What a setting's value means in its column; undefined where that is not known and has to be. */
function meant(rule: ColumnRule, value: JsonValue | undefined): JsonValue | undefined {
  const word = rule.words && lookUp(rule.words, spelled(value));
  if (word !== undefined) return word;
  const arch = rule.arch ? archOfText(toText(value) ?? "") : undefined;
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
const plainNames: { [C in Column]?: string[] } = {
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
