import type { JsonValue } from "../../shared/json.ts";
import { isCount, isRandom, isSecretValue, type SecretKey, secretKey } from "./keys.ts";
import { rules } from "./rules.ts";
import { type Found, scan, type Units } from "./scan.ts";

/** Where something was replaced, e.g. `wandb_api_key (line 12)`, `command[7]`, `error_message`. */
export type Redaction = { where: string };

export const MARK = "[redacted]";

/** Whether `[redacted]` occurs in it. */
export const hasRedacted = (text: string) => text.includes(MARK);

/** A bare number under a secret key becomes a string, or TOML and JSON would no longer parse. */
const markOf = (quoted: number | undefined) => (quoted === 1 ? `"${MARK}"` : MARK);

/** The units with each secret replaced, all else copied as it is, and where the marks begin in them. */
function replaceUnits<U extends Units>(
  units: U,
  { places }: Found,
  make: (length: number) => U,
): { units: U; marks: number[] } {
  let length = units.length;
  for (let i = 0; i < places.length; i += 3)
    length += markOf(places[i + 2]).length - (places[i + 1] ?? 0) + (places[i] ?? 0);
  const out = make(length);
  const marks: number[] = [];
  let read = 0;
  let write = 0;
  for (let i = 0; i < places.length; i += 3) {
    const from = places[i] ?? 0;
    while (read < from) out[write++] = units[read++] ?? 0;
    const mark = markOf(places[i + 2]);
    marks.push(write + mark.indexOf(MARK));
    for (let j = 0; j < mark.length; j++) out[write++] = mark.charCodeAt(j);
    read = places[i + 1] ?? read;
  }
  out.set(units.subarray(read), write);
  return { units: out, marks };
}

/** Where the first ones were, and how many more there are. */
function redactionsOf({ names, places }: Found): Redaction[] {
  const redactions = names.map(({ key, line }) => ({ where: `${key} (line ${line})` }));
  const more = places.length / 3 - names.length;
  return more > 0 ? [...redactions, { where: `and ${more} more places` }] : redactions;
}

/** UTF-16 bytes as code units; the byte order mark is a unit like any other. */
function toUnits(bytes: Uint8Array, littleEndian: boolean): Uint16Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const units = new Uint16Array(bytes.length >> 1);
  for (let i = 0; i < units.length; i++) units[i] = view.getUint16(i * 2, littleEndian);
  return units;
}

function fromUnits(units: Uint16Array, littleEndian: boolean, tail: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(units.length * 2 + tail.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < units.length; i++) view.setUint16(i * 2, units[i] ?? 0, littleEndian);
  bytes.set(tail, units.length * 2);
  return bytes;
}

/**
 * A trainer's file with its secrets replaced by `[redacted]`. Only the secret values' bytes
 * change; BOM, line ends, order and comments stay, and so do bytes of any ASCII-compatible
 * encoding. Commented-out secrets are replaced too. Without secrets the same bytes come back.
 * `marks` are the first bytes of the marks that were put there; of UTF-16 none are given.
 */
export function redactConfig(bytes: Uint8Array): {
  bytes: Uint8Array;
  redactions: Redaction[];
  marks: number[];
} {
  const littleEndian = bytes[0] === 0xff && bytes[1] === 0xfe;
  if (littleEndian || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    const units = toUnits(bytes, littleEndian);
    const found = scan(units, { anywhere: false });
    if (found.places.length === 0) return { bytes, redactions: [], marks: [] };
    const replaced = replaceUnits(units, found, (length) => new Uint16Array(length));
    const tail = bytes.subarray(units.length * 2);
    return {
      bytes: fromUnits(replaced.units, littleEndian, tail),
      redactions: redactionsOf(found),
      marks: [],
    };
  }
  const found = scan(bytes, { anywhere: false });
  if (found.places.length === 0) return { bytes, redactions: [], marks: [] };
  const { units, marks } = replaceUnits(bytes, found, (length) => new Uint8Array(length));
  return { bytes: units, redactions: redactionsOf(found), marks };
}

/** The text with its secrets replaced; the same text when there are none. */
function replaceInText(text: string): string {
  const units = new Uint16Array(text.length);
  for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
  const { places } = scan(units, { anywhere: true });
  if (places.length === 0) return text;
  const parts: string[] = [];
  let read = 0;
  for (let i = 0; i < places.length; i += 3) {
    parts.push(text.slice(read, places[i]), markOf(places[i + 2]));
    read = places[i + 1] ?? read;
  }
  return parts.join("") + text.slice(read);
}

/** An error message or a log tail with its secrets replaced; `where` names the text itself. */
export function redactText(text: string, where: string): { text: string; redactions: Redaction[] } {
  const replaced = replaceInText(text);
  return { text: replaced, redactions: replaced === text ? [] : [{ where }] };
}

/** The name of an option or assignment: `--hf-token=x` and `HF_TOKEN=x` give `hf-token`, `HF_TOKEN`. */
const assignment = /^-{0,2}([A-Za-z][\w.-]*?)=([\s\S]*)$/;

/**
 * A command line with its secrets replaced: values after secret options (`--hf_token x`,
 * `--hf_token=x`, `curl -u user:x`), assignments (`HF_TOKEN=x`) and anything that looks like a
 * token.
 */
export function redactCommand(argv: string[]): { command: string[]; redactions: Redaction[] } {
  const command = redactArguments(argv);
  const changed = command.flatMap((arg, i) =>
    arg === argv[i] ? [] : [{ where: `command[${i}]` }],
  );
  return { command, redactions: changed };
}

/** The arguments with their secrets replaced; each is looked at beside those before it. */
function redactArguments(argv: string[]): string[] {
  let program = "";
  let from = 0;
  return argv.map((arg, i) => {
    const previous = argv[i - 1] ?? "";
    const replaced =
      redactOption(program, argv.slice(from, Math.min(i, from + 8)), previous, arg) ??
      redactArgument(arg, previous, argv[i - 2] ?? "");
    const name = arg.slice(arg.lastIndexOf("/") + 1);
    if (programNames.has(name)) [program, from] = [name, i];
    return replaced;
  });
}

const programNames = new Set(rules.programs.map(({ program }) => program));
const passwordKey: SecretKey = { name: "password", prose: false };

/** An option's value where the program takes a secret there under no name; null elsewhere. */
function redactOption(name: string, before: string[], previous: string, arg: string) {
  for (const { program, options, form, pair, sub } of rules.programs) {
    if (program !== name || (sub && !before.includes(sub))) continue;
    for (const option of options) {
      const long = option.startsWith("--");
      const behind = long ? `${option}=` : option;
      let value: string | null = null;
      if (previous === option && form !== "glued" && !arg.startsWith("-")) value = arg;
      else if (arg.length > behind.length && arg.startsWith(behind) && (long || form !== "apart"))
        value = arg.slice(behind.length);
      const user = pair && value !== null ? /^[^:%\s]*[:%]/.exec(value)?.[0] : "";
      if (value === null || user === undefined) continue;
      const secret = value.slice(user.length);
      if (secret === "") continue;
      if (!isSecretValue(secret, passwordKey)) return arg;
      return arg.slice(0, arg.length - secret.length) + MARK;
    }
  }
  return null;
}

function redactArgument(arg: string, previous: string, beforeThat: string): string {
  const option = /^(--?)?([A-Za-z][\w-]*)$/.exec(previous);
  const optionKey = option?.[2] && secretKey(option[2]);
  if (optionKey && !arg.startsWith("--")) {
    // `config set api-key VALUE` names it by a word of its own, as prose may.
    if (option[1] ? isSecretValue(arg, optionKey) : isRandom(arg)) return MARK;
    if (option[1] && !optionKey.weak) return arg;
  }
  const login = previous === "--relogin" ? beforeThat : /wandb$/.test(beforeThat) ? previous : "";
  if (login === "login" && /^\w{32,}$/.test(arg)) return MARK;
  const [, name = "", value = ""] = assignment.exec(arg) ?? [];
  const key = secretKey(name.slice(name.lastIndexOf(".") + 1));
  if (key) return isSecretValue(value, key) ? arg.slice(0, arg.length - value.length) + MARK : arg;
  return replaceInText(arg);
}

/** No shorter name of a field can hold a token. */
const LONG_NAME = 20;

/** Fields of a body that redaction passes over, as `logs` or `datasets.tag_distribution`. */
export type Kept = readonly string[];

/**
 * A JSON value with its secrets replaced: values under secret keys, `{name: "HF_TOKEN", value}`
 * pairs, and tokens inside any string, also one that holds JSON itself. Without secrets the same
 * value comes back. `where` is the path's beginning in the redactions; `keep` names what is left.
 */
export function redactJson<T extends JsonValue>(
  value: T,
  where: string,
  keep: Kept = [],
): { value: T; redactions: Redaction[] } {
  const redactions: Redaction[] = [];

  /** `place` is the path without `where` and without indexes, as long as it may be one to keep. */
  const walk = (
    node: JsonValue,
    path: string,
    secret: SecretKey | undefined,
    place: string | null,
  ): JsonValue => {
    if (typeof node === "string" || typeof node === "number") {
      const isNumber = typeof node === "number";
      if (secret && isSecretValue(String(node), secret) && !(isNumber && isCount(String(node)))) {
        redactions.push({ where: path });
        return MARK;
      }
      if (isNumber || (secret && !secret.weak)) return node;
      const text = replaceInText(node);
      if (text !== node) redactions.push({ where: path });
      return text;
    }
    if (Array.isArray(node)) {
      if (secret || !isTexts(node)) {
        const items = node.map((item, i) => walk(item, `${path}[${i}]`, secret, place));
        return items.some((item, i) => item !== node[i]) ? items : node;
      }
      // A command kept as a list of arguments has its values after their options.
      const items = redactArguments(node);
      for (const [i, item] of items.entries())
        if (item !== node[i]) redactions.push({ where: `${path}[${i}]` });
      return items.some((item, i) => item !== node[i]) ? items : node;
    }
    if (node === null || typeof node !== "object") return node;
    const paired = pairedKey(node);
    let changed = false;
    const entries = Object.entries(node).map(([name, item]): [string, JsonValue] => {
      const inside = place === null ? null : place ? `${place}.${name}` : name;
      if (inside !== null && keep.includes(inside)) return [name, item];
      const safeName = name.length < LONG_NAME ? name : replaceInText(name);
      const below = path ? `${path}.${safeName}` : safeName;
      const found = (paired && pairValues.has(name) ? paired : undefined) ?? secretKey(name);
      const goesOn = inside !== null && keep.some((kept) => kept.startsWith(inside));
      const replaced = item === null ? item : walk(item, below, found, goesOn ? inside : null);
      if (safeName !== name) redactions.push({ where: path || "a name" });
      if (replaced !== item || safeName !== name) changed = true;
      return [safeName, replaced];
    });
    return changed ? Object.fromEntries(entries) : node;
  };

  const replaced = walk(value, where, undefined, keep.length > 0 ? "" : null);
  // Strings take the place of strings, and of numbers only under a secret's own name.
  return { value: replaced as T, redactions };
}

/**
 * A validated body with its secrets replaced. Every text that a client sends passes through here or
 * through the registration, so that a new field needs no thought.
 */
export function redactBody<T>(body: T, keep: Kept = []): { body: T; redactions: Redaction[] } {
  // A body was JSON; validation has made nothing of it that JSON could not say.
  const { value, redactions } = redactJson(body as JsonValue, "", keep);
  return { body: value as T, redactions };
}

const pairValues = new Set(rules.pairValues);

/** The secret key that `{name: "HF_TOKEN", value: …}` names. */
function pairedKey(node: { [name: string]: JsonValue }): SecretKey | undefined {
  for (const name of rules.pairNames) {
    const named = node[name];
    const key = typeof named === "string" ? secretKey(named) : undefined;
    if (key) return { ...key, prose: false };
  }
  return undefined;
}

const isTexts = (items: JsonValue[]): items is string[] =>
  items.length > 0 && items.every((item) => typeof item === "string");
