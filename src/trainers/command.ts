import type { JsonValue } from "../shared/json.ts";
import { type JsonObject, setKey } from "./formats/objects.ts";
import { basename } from "./path.ts";

/** A trainer's command line, taken apart. */
export type Command = {
  /** The script, module or program that trains, without folders and `.py`: `sdxl_train_network`. */
  script: string;
  /** Words before the first option: files, `key=value` pairs, sub-commands. */
  positionals: string[];
  /** Options with `-` as `_`; a flag alone is true, several values are a list. */
  options: JsonObject;
  /** The options of what starts the script, such as `accelerate launch --mixed_precision bf16`. */
  launcher: JsonObject;
};

const programs = new Set(["llamafactory-cli", "lmf", "axolotl"]);
/** Modules that start other scripts, whose own options come before the script's name. */
const launchers = /^(?:accelerate\.commands\.launch|torch\.distributed\.(?:run|launch))$/;

/** Finds the training script in an argv and reads its arguments; null when there is none. */
export function parseCommand(argv: readonly string[]): Command | null {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    const name = basename(word).replace(/\.(?:exe|cmd)$/i, "");
    const next = argv[i + 1] ?? "";
    if (word === "-m" && /^[\w.]+$/.test(next) && !launchers.test(next))
      return toCommand(lastPart(next), argv.slice(0, i), argv.slice(i + 2));
    if (/\.py$/i.test(name))
      return toCommand(name.slice(0, -3), argv.slice(0, i), argv.slice(i + 1));
    if (programs.has(name)) return toCommand(name, argv.slice(0, i), argv.slice(i + 1));
  }
  return null;
}

/** `musubi_tuner.wan_train_network` is its last part, `axolotl.cli.train` the program itself. */
const lastPart = (module: string) =>
  module.startsWith("axolotl.") ? "axolotl" : module.replace(/^.*\./, "");

/** A negative number is a value, everything else with a dash an option. */
const isOption = (word: string) => /^--?[A-Za-z_]/.test(word);

const toCommand = (
  script: string,
  before: readonly string[],
  words: readonly string[],
): Command => ({
  script,
  ...readArguments(words),
  launcher: readArguments(before).options,
});

function readArguments(words: readonly string[]) {
  const options: JsonObject = {};
  const positionals: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (!isOption(word)) {
      positionals.push(word);
      continue;
    }
    const [, name = "", attached] = /^--?([^=]+)(?:=([\s\S]*))?$/.exec(word) ?? [];
    const values: string[] = attached === undefined ? [] : [attached];
    if (attached === undefined)
      for (let next = words[i + 1]; next !== undefined && !isOption(next); next = words[i + 1]) {
        values.push(next);
        i++;
      }
    const value: JsonValue = values.length > 1 ? values : (values[0] ?? true);
    setKey(options, name.replaceAll("-", "_"), value);
  }
  return { positionals, options };
}

/** `key=value` words, which LLaMA-Factory takes as overrides. */
export function assignments(words: readonly string[]): JsonObject {
  const found: JsonObject = {};
  for (const word of words) {
    const [, key, value] = /^([A-Za-z_][\w.]*)=([\s\S]*)$/.exec(word) ?? [];
    if (key !== undefined && value !== undefined) setKey(found, key, value);
  }
  return found;
}
