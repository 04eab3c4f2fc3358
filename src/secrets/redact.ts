import type { JsonValue } from "../db/schema.ts";
import { isSecretValue, secretKey } from "./keys.ts";
import { type Span, scan, type Units } from "./scan.ts";

/** Where something was replaced, e.g. `wandb_api_key (line 12)`, `command[7]`, `error_message`. */
export type Redaction = { where: string };

const MARK = "[redacted]";

/** True if `[redacted]` stands somewhere in it. */
export const hasRedacted = (text: string) => text.includes(MARK);

/** A bare number under a secret key becomes a string, or TOML and JSON would no longer parse. */
const markFor = (span: Span) => (span.quoted ? `"${MARK}"` : MARK);

/** The units with each span replaced; everything else is copied as it is. */
function replaceSpans<U extends Units>(units: U, spans: Span[], make: (length: number) => U): U {
  let length = units.length;
  for (const span of spans) length += markFor(span).length - (span.to - span.from);
  const out = make(length);
  let read = 0;
  let write = 0;
  for (const span of spans) {
    while (read < span.from) out[write++] = units[read++] ?? 0;
    const mark = markFor(span);
    for (let i = 0; i < mark.length; i++) out[write++] = mark.charCodeAt(i);
    read = span.to;
  }
  out.set(units.subarray(read), write);
  return out;
}

const whereOf = (span: Span): Redaction => ({ where: `${span.key} (line ${span.line})` });

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
 */
export function redactConfig(bytes: Uint8Array): { bytes: Uint8Array; redactions: Redaction[] } {
  const littleEndian = bytes[0] === 0xff && bytes[1] === 0xfe;
  if (littleEndian || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    const units = toUnits(bytes, littleEndian);
    const spans = scan(units, { anywhere: false });
    if (spans.length === 0) return { bytes, redactions: [] };
    const replaced = replaceSpans(units, spans, (length) => new Uint16Array(length));
    const tail = bytes.subarray(units.length * 2);
    return { bytes: fromUnits(replaced, littleEndian, tail), redactions: spans.map(whereOf) };
  }
  const spans = scan(bytes, { anywhere: false });
  if (spans.length === 0) return { bytes, redactions: [] };
  return {
    bytes: replaceSpans(bytes, spans, (length) => new Uint8Array(length)),
    redactions: spans.map(whereOf),
  };
}

function spansOf(text: string): Span[] {
  const units = new Uint16Array(text.length);
  for (let i = 0; i < text.length; i++) units[i] = text.charCodeAt(i);
  return scan(units, { anywhere: true });
}

function replaceInText(text: string, spans: Span[]): string {
  let out = "";
  let read = 0;
  for (const span of spans) {
    out += text.slice(read, span.from) + markFor(span);
    read = span.to;
  }
  return out + text.slice(read);
}

/** An error message or a log tail with its secrets replaced; `where` names the text itself. */
export function redactText(text: string, where: string): { text: string; redactions: Redaction[] } {
  const spans = spansOf(text);
  if (spans.length === 0) return { text, redactions: [] };
  return { text: replaceInText(text, spans), redactions: [{ where }] };
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
  return redactText(arg, "").text;
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
      const spans = spansOf(node);
      if (spans.length === 0) return node;
      redactions.push({ where: path });
      return replaceInText(node, spans);
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
