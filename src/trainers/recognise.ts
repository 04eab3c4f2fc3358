import type { JsonValue } from "../shared/json.ts";
import { adapterFields, dataFields } from "../shared/run-fields.ts";
import { aiToolkit } from "./ai-toolkit.ts";
import { axolotl } from "./axolotl.ts";
import { assignments, type Command, parseCommand } from "./command.ts";
import { declaredSettings, programsOf, readByName, toDialect } from "./declaration.ts";
import type { Declaration } from "./declarations/form.ts";
import { declarations } from "./declarations/index.ts";
import {
  type Column,
  type Dialect,
  Draft,
  fill,
  type Input,
  type Kind,
  type Origin,
  type TaskFields,
  type Trainer,
  toNumber,
  type Warning,
} from "./dialect.ts";
import { diffusers } from "./diffusers.ts";
import { diffusionPipe, diffusionPipeDataset } from "./diffusion-pipe.ts";
import { ConfigSyntaxError } from "./formats/fault.ts";
import { isObject, type JsonObject, setKey } from "./formats/objects.ts";
import { commandsOf } from "./formats/shell.ts";
import { generic } from "./generic.ts";
import { kohya, kohyaDataset } from "./kohya.ts";
import { kohyaGui } from "./kohya-gui.ts";
import { llamaBoard, llamaFactory, llamaFactoryDataset, llamaFactoryV1 } from "./llama-factory.ts";
import { loraEasy } from "./lora-easy.ts";
import { loraScripts, loraScriptsPreset } from "./lora-scripts.ts";
import { musubi, musubiDataset } from "./musubi.ts";
import { notebook } from "./notebook.ts";
import { onetrainer, onetrainerConcepts } from "./onetrainer.ts";
import { type ConfigFormat, MAX_PARSED, MAX_YAML, parseConfig } from "./parse.ts";
import { peft } from "./peft.ts";

/** The settings of a run from a trainer's file or a command line. */
export type Recognition = {
  /** The dialect, "unknown" when it is none of the known ones. */
  trainer: Trainer;
  kind: Kind;
  format: ConfigFormat;
  /** Values read from the file or the command, and the trainer's defaults. */
  fields: TaskFields;
  /** Which of `fields` are the trainer's own defaults, because the file is silent. */
  defaults: Column[];
  /** Where each of `fields` was read from. */
  sources: { [C in Column]?: Origin };
  /**
   * The whole file as plain JSON with the command's arguments over it, and the separate dataset
   * file under `dataset_file`; null when there is nothing that could be parsed.
   */
  config: JsonValue | null;
  /** Warnings for a person, in plain words. */
  warnings: Warning[];
};

/** The first dialect that recognises a file wins, so the more specific ones come first. */
const dialects: Dialect[] = [
  notebook,
  ...declarations.map(toDialect),
  aiToolkit,
  peft,
  onetrainer,
  onetrainerConcepts,
  kohyaGui,
  loraEasy,
  loraScriptsPreset,
  kohyaDataset,
  musubiDataset,
  diffusionPipe,
  diffusionPipeDataset,
  axolotl,
  llamaFactory,
  llamaFactoryV1,
  llamaBoard,
  llamaFactoryDataset,
  musubi,
  loraScripts,
  diffusers,
  kohya,
  generic,
];

/** Settings that a trainer's dialect reads, by their paths in its file; sorted, each once. */
export function settingsOf(trainer: string): string[] {
  const said = [
    ...declarations.filter(({ name }) => name === trainer).flatMap(declaredSettings),
    ...dialects
      .filter((dialect) => dialect.trainer === trainer)
      .flatMap(({ table }) => Object.values(table).flatMap(({ keys }) => keys)),
  ];
  return [...new Set(said)].sort();
}

const kinds: Record<Exclude<Kind, "run">, string> = {
  dataset: "is a dataset file, which describes data, and starts no run by itself",
  preset: "is a preset, which fills some of a form's fields, and starts no run by itself",
  "full-fine-tune": "trains the whole model and no LoRA: it has no rank",
  embedding: "trains an embedding (textual inversion) and no LoRA: it has no rank",
  unknown: "starts no LoRA training",
};

export type Source = { text: string; format?: ConfigFormat; path?: string };

/**
 * Recognises the trainer a config belongs to and reads the columns of a task from it.
 *
 * @param input.text the decoded file; may be empty when there is only a command
 * @param input.path the client's file name: its extension and folders are hints, nothing is opened
 * @param input.command the argv that starts the training; its arguments override the file
 * @param input.dataset the separate file that lists the data; what it says goes before the rest
 * @param input.own dialects of people, which are asked before the built-in ones
 * @throws ConfigSyntaxError when the file is plainly TOML, YAML or JSON and broken
 */
export function recognise(
  input: Source & { command?: string[]; dataset?: Source; own?: Declaration[] },
): Recognition {
  const known = new Known(input.own ?? []);
  const { format, value, script } = parseFile(input, known);
  const given = input.command ? parseCommand(input.command, known.programs) : null;
  // What started the script is no trainer's command, unless the client saw the trainer itself.
  const command = given ?? (script && commandOfScript(script, input.path ?? "", known));
  const isEmpty = input.text.trim() === "" || (script !== null && command !== null);
  const path = input.path ?? "";
  const found = identify(isEmpty ? {} : value, command, path, format, known.own);
  const data = input.dataset ? readDataset(input.dataset, found.draft) : null;

  const stated = command && argumentsOf(command);
  const args = stated && Object.keys(stated).length > 0 ? valuesOf(stated) : null;
  const config = isObject(value) ? withArguments(value, args) : isEmpty ? args : value;
  const { trainer, kind, draft } = found;
  if (trainer === "unknown" && !(isEmpty && command))
    draft.warn(
      "not-recognised",
      value === null && input.text.length > MAX_PARSED
        ? `The file is larger than ${MAX_PARSED} characters; it was not parsed and is kept as it is.`
        : value === null && input.text.length > MAX_YAML && format !== "json"
          ? `The file is larger than ${MAX_YAML} characters and no TOML or JSON; it was not parsed and is kept as it is.`
          : "Not recognised, kept as it is: this ledger knows no trainer that writes such a file, so no setting was read from it.",
    );
  const { fields, defaults, sources, warnings } = draft;
  return {
    ...{ trainer, kind, format, fields, defaults, sources, warnings },
    config:
      data === null
        ? config
        : isObject(config)
          ? { ...config, dataset_file: data }
          : (config ?? { dataset_file: data }),
  };
}

/**
 * A file's format and value; or, where it is a shell script, the commands in it. Throws ConfigSyntaxError
 * where it is plainly of a format, and broken.
 */
function parseFile(
  { text, format, path }: Source,
  known: Known,
): ReturnType<typeof parseConfig> & {
  script: string[][] | null;
} {
  const mayBe = text.length <= MAX_PARSED && (format === undefined || format === "text");
  const isScript = mayBe && looksLikeScript(text, path);
  if (isScript)
    return { format: "text", value: null, script: commandsOf(text, isBatch(text, path)) };
  try {
    const parsed = parseConfig(text, format, path);
    return {
      ...parsed,
      script: mayBe && parsed.format === "text" ? commandsOf(text, isBatch(text, path)) : null,
    };
  } catch (error) {
    // Assignments alone look like TOML.
    const script =
      mayBe && error instanceof ConfigSyntaxError ? commandsOf(text, isBatch(text, path)) : null;
    if (!script || !commandOfScript(script, path ?? "", known)) throw error;
    return { format: "text", value: null, script };
  }
}

/** Whether a script is one of Windows, whose backslashes are those of paths and whose lines go on behind a `^`. */
const isBatch = (text: string, path: string | undefined) =>
  /\.(?:bat|cmd)$/i.test(path ?? "") || /\^\r?\n/.test(text);

const looksLikeScript = (text: string, path: string | undefined) =>
  /^\ufeff?#!.*\b(?:ba|z|da|k)?sh\b/.test(text) || /\.(?:(?:ba|z)?sh|bat|cmd)$/i.test(path ?? "");

/** Commands of one script that are looked at: what comes before the trainer downloads and prepares. */
const MOST_STARTED = 200;

/** The command of a script that starts a trainer: the first of a run, else of anything that is known. */
function commandOfScript(commands: string[][], path: string, dialects: Known): Command | null {
  const known: Command[] = [];
  for (const argv of commands.slice(0, MOST_STARTED)) {
    const command = parseCommand(argv, dialects.programs);
    if (!command) continue;
    const { trainer, kind } = identify({}, command, path, "text", dialects.own);
    if (trainer === "unknown") continue;
    if (kind === "run") return command;
    known.push(command);
  }
  return known[0] ?? null;
}

/** The dialects of people that come with a file, and the programs that commands are known by. */
class Known {
  readonly own: Dialect[];
  readonly programs: ReadonlySet<string>;
  constructor(declarations: Declaration[]) {
    this.own = declarations.map(toDialect);
    this.programs = programsOf(declarations);
  }
}

/** Which dialect a parsed file is of, and what that reads from it. */
function identify(
  value: JsonValue | null,
  command: Command | null,
  path: string,
  format: ConfigFormat,
  own: Dialect[] = [],
): { trainer: Trainer; kind: Kind; draft: Draft } {
  const draft = new Draft();
  const list = Array.isArray(value) ? value : null;
  if (list || isObject(value)) {
    const root = isObject(value) ? value : {};
    const args = command && argumentsOf(command);
    const seen: Input = {
      ...{ root, list, command, path, format },
      args: args ?? {},
      top: withArguments(root, args),
      flat: withArguments(flatten(root), args),
    };
    for (const dialect of [...own, ...dialects]) {
      const kind = list ? (dialect.recogniseList?.(list) ?? null) : dialect.recognise(seen);
      if (kind === null) continue;
      fill(draft, dialect, seen);
      if (kind === "full-fine-tune" || kind === "embedding" || kind === "unknown")
        draft.drop(...adapterFields);
      if (kind !== "run")
        draft.warnings.unshift({
          code: kind === "unknown" ? "no-training" : kind,
          message: `This ${dialect.trainer} ${command && Object.keys(root).length === 0 ? "command" : "file"} ${kinds[kind]}.`,
        });
      return { trainer: dialect.trainer, kind, draft };
    }
  }
  const stated = command ? argumentsOf(command) : {};
  draft.readsArguments(stated);
  const named = readByName(draft, stated);
  if (named.length > 0)
    draft.warn(
      "read-by-name",
      `No known trainer has this command; ${named.join(", ")} ${named.length > 1 ? "are" : "is"} read from the command by ${named.length > 1 ? "their names" : "its name"}.`,
    );
  return { trainer: "unknown", kind: "unknown", draft };
}

/** Reads the separate dataset file into a run's draft; its parsed form, null when it has none. */
function readDataset(dataset: Source, run: Draft): JsonValue | null {
  const name = dataset.path ?? "The dataset file";
  let parsed: ReturnType<typeof parseConfig>;
  try {
    parsed = parseConfig(dataset.text, dataset.format, dataset.path);
  } catch (error) {
    if (!(error instanceof ConfigSyntaxError)) throw error;
    run.warn("dataset-broken", `${name} could not be read, and is kept as it is. ${error.message}`);
    return null;
  }
  const { kind, draft } = identify(parsed.value, null, dataset.path ?? "", parsed.format);
  if (kind !== "dataset") {
    run.warn("dataset-not-recognised", `${name} is no dataset file that this ledger knows.`);
    return parsed.value;
  }
  run.unwarn(({ code }) => code === "dataset-file");
  // What the run's own file says of them is not used.
  for (const column of dataFields) run.take(column, draft);
  return parsed.value;
}

/** Sections count for nothing to sd-scripts and its kin: their keys come up one level, last wins. */
function flatten(root: JsonObject): JsonObject {
  if (!Object.values(root).some(isObject)) return root;
  const flat: JsonObject = {};
  for (const [key, value] of Object.entries(root)) {
    if (!isObject(value)) setKey(flat, key, value);
    else for (const [inner, item] of Object.entries(value)) setKey(flat, inner, item);
  }
  return flat;
}

/** A large file is copied only where there is something to put over it. */
const withArguments = (file: JsonObject, args: JsonObject | null): JsonObject =>
  args ? { ...file, ...args } : file;

/** `--config FILE key=value …`: what follows the file is set over it. */
const argumentsOf = ({ positionals, options }: Command): JsonObject => {
  const [file, ...after] = Array.isArray(options.config) ? options.config : [];
  const words = [...positionals, ...after.filter((word) => typeof word === "string")];
  return { ...assignments(words), ...options, ...(file !== undefined && { config: file }) };
};

/** Arguments as a file would hold them, so that filters find numbers by value. */
const valuesOf = (args: JsonObject): JsonObject => {
  const values: JsonObject = {};
  for (const [name, value] of Object.entries(args)) {
    const number = typeof value === "string" ? toNumber(value) : undefined;
    setKey(values, name, number !== undefined && Number.isFinite(number) ? number : value);
  }
  return values;
};
