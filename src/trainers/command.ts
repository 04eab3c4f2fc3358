import type { JsonValue } from "../shared/json.ts";
import { type JsonObject, setKey } from "./formats/objects.ts";
import { basename } from "./path.ts";

/** A trainer's command line, taken apart. */
export type Command = {
  /** The script, module or program that trains, without folders and `.py`: `sdxl_train_network`. */
  script: string;
  /** The same with its folders or packages: `musubi_tuner.wan_train_network`, `/opt/sd-scripts/train_network`. */
  program: string;
  /** Words before the first option: files, `key=value` pairs, sub-commands. */
  positionals: string[];
  /** Options with `-` as `_`; a flag alone is true, several values are a list. */
  options: JsonObject;
  /** The options of what starts the script, such as `accelerate launch --mixed_precision bf16`. */
  launcher: JsonObject;
};

/** Programs that are no script; those of declared dialects are in their `commands`. */
const programs = new Set(["llamafactory-cli", "lmf", "axolotl"]);
/** What only starts another program, with options of its own. */
const wrappers = /^(?:env|nohup|nice|time|sudo|setsid|stdbuf|uv|poetry|conda|pipx|run)$/;
/** What reads its program from a text or a file, which is no trainer itself. */
const interpreters = /^(?:bash|sh|zsh|dash|fish|make|just|python[\d.]*|node|docker|ssh)$/;
/** Modules that start other scripts, whose own options come before the script's name. */
const launchers = /^(?:accelerate\.commands\.launch|torch\.distributed\.(?:run|launch))$/;

/**
 * Finds the training script in an argv and reads its arguments; null when there is none.
 *
 * @param own names of further programs
 */
export function parseCommand(
  argv: readonly string[],
  own: ReadonlySet<string> = new Set(),
): Command | null {
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? "";
    const next = argv[i + 1] ?? "";
    if (word === "-m" && /^[\w.]+$/.test(next) && !launchers.test(next))
      return toCommand(lastPart(next), next, argv.slice(0, i), argv.slice(i + 2));
    const name = nameOf(word);
    if (/\.py$/i.test(name))
      return toCommand(name.slice(0, -3), pathOf(word), argv.slice(0, i), argv.slice(i + 1));
    if (programs.has(name) || own.has(name))
      return toCommand(name, pathOf(word), argv.slice(0, i), argv.slice(i + 1));
  }
  return unknownProgram(argv);
}

const nameOf = (word: string) => basename(word).replace(/\.(?:exe|cmd)$/i, "");
const pathOf = (word: string) => word.replaceAll("\\", "/").replace(/\.(?:py|exe|cmd)$/i, "");

/** A program of any name, where its options are such as trainers have. */
function unknownProgram(argv: readonly string[]): Command | null {
  const at = argv.findIndex(
    (word) => !/^[A-Za-z_]\w*=/.test(word) && !isOption(word) && !wrappers.test(nameOf(word)),
  );
  const word = argv[at] ?? "";
  const name = nameOf(word);
  if (name === "" || interpreters.test(name) || !argv.some((option) => /^--\w/.test(option)))
    return null;
  return toCommand(name, pathOf(word), argv.slice(0, at), argv.slice(at + 1));
}

/**
 * Whether a command is the named one: `swift sft` is a program and its first words, `pkg.train` a
 * module or program of that whole name, `dir/train.py` the end of a script's path.
 */
export function isProgram({ script, program, positionals }: Command, named: string): boolean {
  const [first = "", ...words] = named.split(" ");
  if (words.some((word, i) => positionals[i] !== word)) return false;
  const path = first.replace(/\.py$/i, "");
  if (path.includes("/")) return `/${program}`.endsWith(`/${path}`);
  return path === script || path === program || path === basename(program);
}

/** The program's own name in a text that `isProgram` takes; undefined where that is a path or a module. */
export const programOf = (named: string): string | undefined => {
  const [first = ""] = named.split(" ");
  return /[/]|\.py$/i.test(first) ? undefined : first;
};

/** `musubi_tuner.wan_train_network` is its last part, `axolotl.cli.train` the program itself. */
const lastPart = (module: string) =>
  module.startsWith("axolotl.") ? "axolotl" : module.replace(/^.*\./, "");

/** A negative number is a value, everything else with a dash an option. */
const isOption = (word: string) => /^--?[A-Za-z_]/.test(word);

const toCommand = (
  script: string,
  program: string,
  before: readonly string[],
  words: readonly string[],
): Command => ({
  script,
  program,
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
