import type { JsonValue } from "../db/schema.ts";
import { aiToolkit } from "./ai-toolkit.ts";
import { axolotl } from "./axolotl.ts";
import { assignments, type Command, parseCommand } from "./command.ts";
import {
  type Column,
  type Dialect,
  Draft,
  fill,
  type Input,
  type Kind,
  type TaskFields,
  type Trainer,
  type Warning,
} from "./dialect.ts";
import { diffusers } from "./diffusers.ts";
import { diffusionPipe, diffusionPipeDataset } from "./diffusion-pipe.ts";
import { generic } from "./generic.ts";
import { isObject, type JsonObject, setKey } from "./json.ts";
import { kohya, kohyaDataset, loraScripts, loraScriptsPreset } from "./kohya.ts";
import { kohyaGui } from "./kohya-gui.ts";
import { llamaFactory, llamaFactoryDataset, llamaFactoryV1 } from "./llama-factory.ts";
import { musubi, musubiDataset } from "./musubi.ts";
import { onetrainer } from "./onetrainer.ts";
import { type ConfigFormat, ConfigSyntaxError, MAX_YAML, parseConfig } from "./parse.ts";
import { peft } from "./peft.ts";

export { type ConfigFormat, ConfigSyntaxError, type TaskFields, type Trainer };

/** What a trainer's file, or a command line, says about a run. */
export type Recognition = {
  /** The dialect, "unknown" when it is none of the known ones. */
  trainer: Trainer;
  kind: Kind;
  format: ConfigFormat;
  /** Values read from the file or the command, and the trainer's defaults. */
  fields: TaskFields;
  /** Which of `fields` are the trainer's own defaults, because the file is silent. */
  defaults: Column[];
  /** The whole file as plain JSON; a command's arguments when there is no file; null when not parsed. */
  config: JsonValue | null;
  /** What a person should know, in plain words. */
  warnings: Warning[];
};

/** The first that recognises a file has it, so the more telling marks come first. */
const dialects: Dialect[] = [
  aiToolkit,
  peft,
  onetrainer,
  kohyaGui,
  loraScriptsPreset,
  kohyaDataset,
  musubiDataset,
  diffusionPipe,
  diffusionPipeDataset,
  axolotl,
  llamaFactory,
  llamaFactoryV1,
  llamaFactoryDataset,
  musubi,
  loraScripts,
  diffusers,
  kohya,
  generic,
];

const kinds: Record<Exclude<Kind, "run">, string> = {
  dataset: "is a dataset file, which describes data, and starts no run by itself",
  preset: "is a preset, which fills some of a form's fields, and starts no run by itself",
  "full-fine-tune": "trains the whole model and no LoRA: it has no rank",
  unknown: "starts no LoRA training",
};

const ofAdapter: Column[] = [
  ...([
    "lora_rank",
    "lora_alpha",
    "dropout",
    "conv_lora_rank",
    "conv_alpha",
    "network_algo",
  ] as const),
];

/**
 * Recognises the trainer a config belongs to and reads the columns of a task from it.
 *
 * @param input.text the decoded file; may be empty when there is only a command
 * @param input.path the client's file name: its extension and folders are hints, nothing is opened
 * @param input.command the argv that starts the training; its arguments override the file
 * @throws ConfigSyntaxError when the file is plainly TOML, YAML or JSON and broken
 */
export function recognise(input: {
  text: string;
  format?: ConfigFormat;
  path?: string;
  command?: string[];
}): Recognition {
  const { format, value } = parseConfig(input.text, input.format, input.path);
  const command = input.command ? parseCommand(input.command) : null;
  const draft = new Draft();
  const isEmpty = input.text.trim() === "";
  const config = value ?? (isEmpty && command ? argumentsOf(command) : null);

  const root = isObject(value) ? value : isEmpty ? {} : null;
  if (root !== null || Array.isArray(value)) {
    const file = root ?? {};
    const args = command ? argumentsOf(command) : null;
    const seen: Input = {
      root: file,
      top: withArguments(file, args),
      flat: withArguments(flatten(file), args),
      command,
      path: input.path ?? "",
      format,
    };
    const list = Array.isArray(value) ? value : null;
    for (const dialect of dialects) {
      const kind = list ? (dialect.recogniseList?.(list) ?? null) : dialect.recognise(seen);
      if (kind === null) continue;
      fill(draft, dialect, seen);
      if (kind === "full-fine-tune") draft.drop(...ofAdapter);
      if (kind !== "run")
        draft.warnings.unshift({
          code: kind === "unknown" ? "no-training" : kind,
          message: `This ${dialect.trainer} file ${kinds[kind]}.`,
        });
      const { fields, defaults, warnings } = draft;
      return { trainer: dialect.trainer, kind, format, fields, defaults, config, warnings };
    }
  }
  draft.warn(
    "not-recognised",
    value === null && input.text.length > MAX_YAML && format !== "json"
      ? `The file is larger than ${MAX_YAML} characters and no TOML or JSON; it was not parsed and is kept as it is.`
      : "Not recognised, kept as it is: this ledger knows no trainer that writes such a file, so no setting was read from it.",
  );
  return {
    trainer: "unknown",
    kind: "unknown",
    format,
    fields: {},
    defaults: [],
    config,
    warnings: draft.warnings,
  };
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

const argumentsOf = (command: Command): JsonObject => ({
  ...assignments(command.positionals),
  ...command.options,
});
