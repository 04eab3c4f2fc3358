import type { JsonValue } from "../db/schema.ts";
import { isSecretValue, secretKey } from "./keys.ts";
import { type Found, scan, type Units } from "./scan.ts";

/** Where something was replaced, e.g. `wandb_api_key (line 12)`, `command[7]`, `error_message`. */
export type Redaction = { where: string };

export const MARK = "[redacted]";

/** True if `[redacted]` stands somewhere in it. */
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
 * A command line with its secrets replaced: values behind secret options (`--hf_token x`,
 * `--hf_token=x`), assignments (`HF_TOKEN=x`) and anything that looks like a token.
 */
export function redactCommand(argv: string[]): { command: string[]; redactions: Redaction[] } {
  const redactions: Redaction[] = [];
  const command = argv.map((arg, i) => {
    const replaced = redactArgument(arg, argv[i - 1] ?? "", argv[i - 2] ?? "");
    if (replaced !== arg) redactions.push({ where: `command[${i}]` });
    return replaced;
  });
  return { command, redactions };
}

function redactArgument(arg: string, previous: string, beforeThat: string): string {
  const option = /^--?([A-Za-z][\w-]*)$/.exec(previous)?.[1];
  const optionKey = option && secretKey(option);
  if (optionKey && !arg.startsWith("--")) return isSecretValue(arg, optionKey) ? MARK : arg;
  if (previous === "login" && /wandb$/.test(beforeThat) && /^\w{32,}$/.test(arg)) return MARK;
  const [, name = "", value = ""] = assignment.exec(arg) ?? [];
  const key = secretKey(name.slice(name.lastIndexOf(".") + 1));
  if (key) return isSecretValue(value, key) ? arg.slice(0, arg.length - value.length) + MARK : arg;
  return replaceInText(arg);
}

/**
 * A JSON value with its secrets replaced: values under secret keys, `{name: "HF_TOKEN", value}`
 * pairs, and tokens inside any string, also one that holds JSON itself. Without secrets the same
 * value comes back. `where` is the path's beginning in the redactions.
 */
export function redactJson(
  value: JsonValue,
  where: string,
): { value: JsonValue; redactions: Redaction[] } {
  const redactions: Redaction[] = [];

  const walk = (node: JsonValue, path: string, key: string): JsonValue => {
    if (typeof node === "string" || typeof node === "number") {
      const secret = secretKey(key);
      if (secret) {
        if (!isSecretValue(String(node), secret)) return node;
        redactions.push({ where: path });
        return MARK;
      }
      if (typeof node === "number") return node;
      const text = replaceInText(node);
      if (text !== node) redactions.push({ where: path });
      return text;
    }
    if (Array.isArray(node)) {
      // A command kept as a list of arguments has its values behind their options.
      if (node.every((item) => typeof item === "string")) {
        const items = node.map((item, i) =>
          secretKey(key)
            ? walk(item, `${path}[${i}]`, key)
            : redactArgument(item, textAt(node, i - 1), textAt(node, i - 2)),
        );
        for (const [i, item] of items.entries())
          if (item !== node[i] && !secretKey(key)) redactions.push({ where: `${path}[${i}]` });
        return items;
      }
      return node.map((item, i) => walk(item, `${path}[${i}]`, key));
    }
    if (node === null || typeof node !== "object") return node;
    const named = [node.name, node.key].find((name) => typeof name === "string");
    return Object.fromEntries(
      Object.entries(node).map(([name, item]) => [
        name,
        walk(
          item,
          path ? `${path}.${name}` : name,
          name === "value" && typeof named === "string" ? named : name,
        ),
      ]),
    );
  };

  const replaced = walk(value, where, "");
  return redactions.length > 0 ? { value: replaced, redactions } : { value, redactions };
}

const textAt = (items: JsonValue[], i: number) => {
  const item = items[i];
  return typeof item === "string" ? item : "";
};
