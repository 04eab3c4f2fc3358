import {
  type Alias,
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
  type Scalar,
  visit,
} from "yaml";
import type { JsonValue } from "../../shared/json.ts";
import { ConfigSyntaxError, errorAt, MAX_DEPTH, tooDeep } from "./fault.ts";
import { isObject, type JsonObject, setKey } from "./objects.ts";
import { toPlainJson } from "./plain.ts";

/** Whether the lexical structure of YAML nests too deeply, found without recursion. */
function yamlTooDeep(tokens: Iterable<unknown>): boolean {
  let level: unknown[] = [...tokens];
  for (let depth = 0; level.length > 0; depth++) {
    // A collection and its items are two levels of the syntax tree.
    if (depth > MAX_DEPTH * 3) return true;
    const next: unknown[] = [];
    for (const token of level) {
      if (typeof token !== "object" || token === null) continue;
      if ("items" in token && Array.isArray(token.items))
        for (const item of token.items) next.push(item);
      if ("key" in token && token.key) next.push(token.key);
      if ("value" in token && token.value) next.push(token.value);
    }
    level = next;
  }
  return false;
}

/** The tokens without those of faults behind the first. */
function firstFaultOnly(tokens: Iterable<CST.Token>): CST.Token[] {
  let faulty = false;
  return [...tokens].filter(({ type }) => {
    const again = faulty && type === "error";
    faulty ||= type === "error";
    return !again;
  });
}

/** Words that PyYAML, which the trainers use, reads as booleans besides true and false. */
const yes = new Set(["yes", "Yes", "YES", "on", "On", "ON"]);
const no = new Set(["no", "No", "NO", "off", "Off", "OFF"]);

/** The place where flow brackets nest too deeply; a line that starts at the margin closes them all. */
function flowTooDeepAt(text: string): number {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit === 91 || unit === 123) {
      if (++depth > MAX_DEPTH) return i;
    } else if (unit === 93 || unit === 125) {
      if (depth > 0) depth--;
    } else if (unit === 10 && /[\w#-]/.test(text[i + 1] ?? "")) depth = 0;
  }
  return -1;
}

/** Of the same length, so that positions stay; private characters, so that nobody writes it. */
const MASK = "\uE000redacted\uE000";
const unmask = (text: string) => text.replaceAll(MASK, "[redacted]");

export function parseYaml(source: string): JsonValue {
  // The mark of redaction in place of an unquoted value would be a list, or no YAML at all.
  const text = source.replaceAll("[redacted]", MASK);
  const deep = flowTooDeepAt(text);
  if (deep !== -1) throw errorAt("YAML", tooDeep, text, deep);
  const lines = new LineCounter();
  const tokens = firstFaultOnly(new Parser(lines.addNewLine).parse(text));
  if (yamlTooDeep(tokens)) throw new ConfigSyntaxError("YAML", tooDeep, 1, 1);
  const composer = new Composer({
    version: "1.2",
    schema: "core",
    merge: true,
    uniqueKeys: false,
    logLevel: "silent",
  });
  const fault = (at: number, message: string) => {
    const { line, col } = lines.linePos(at);
    return new ConfigSyntaxError("YAML", message.replace(/\.?$/, ""), line, col);
  };
  // The first fault ends it: a hostile file has one a character, and each would keep its stack. It
  // is thrown again where the composer catches it to report another fault.
  let first: ConfigSyntaxError | undefined;
  Object.assign(composer, {
    onError(
      source: number | readonly number[] | { offset: number },
      _code: string,
      message: string,
      isWarning?: boolean,
    ) {
      if (isWarning) return;
      const at =
        typeof source === "number" ? source : "offset" in source ? source.offset : source[0];
      first ??= fault(at ?? 0, message);
      throw first;
    },
  });
  const document = firstDocument(composer.compose(tokens, true, text.length));
  if (document === null) return null;
  const [error] = document.errors;
  if (error) throw fault(error.pos[0], error.message);
  return yamlValue(document, text.length * 2 + 65_536, (node, reason) =>
    fault(node.range?.[0] ?? 0, reason),
  );
}

/** Of several documents the first counts, as trainers read it; the others are not converted. */
function firstDocument(documents: Iterable<Document.Parsed>): Document.Parsed | null {
  for (const document of documents) return document;
  return null;
}

/**
 * A YAML document as plain JSON. `budget` bounds what aliases expand to: each value costs its
 * length, so that a small file cannot become a large one.
 */
function yamlValue(
  document: Document.Parsed,
  budget: number,
  fault: (node: Node, reason: string) => ConfigSyntaxError,
): JsonValue {
  const anchors = new Map<string, Node>();
  let hasAlias = false;
  visit(document, {
    Alias: () => {
      hasAlias = true;
      return visit.BREAK;
    },
  });
  if (hasAlias)
    visit(document, {
      Node: (_, node) => {
        if ("anchor" in node && node.anchor && !anchors.has(node.anchor))
          anchors.set(node.anchor, node);
      },
    });
  let left = budget;
  const spend = (cost: number, node: Node) => {
    left -= cost;
    if (left < 0) throw fault(node, "its aliases (*name) expand to far more than the file holds");
  };

  const convert = (node: unknown, depth: number): JsonValue => {
    if (depth > MAX_DEPTH && isNode(node)) throw fault(node, tooDeep);
    if (isAlias(node)) return convert(target(node), depth + 1);
    if (isScalar(node)) return scalar(node);
    if (isSeq(node)) {
      spend(2, node);
      return node.items.map((item) => convert(item, depth + 1));
    }
    if (!isMap(node)) return null;
    const object: JsonObject = {};
    const merged: JsonObject = {};
    for (const { key, value } of node.items) {
      if (!isScalar(key)) throw fault(node, "a key must be plain text");
      const name = unmask(typeof key.source === "string" ? key.source : String(key.value));
      spend(name.length + 4, node);
      const item = convert(value, depth + 1);
      if (name === "<<") {
        for (const part of Array.isArray(item) ? item : [item])
          if (isObject(part))
            for (const [inner, innerValue] of Object.entries(part))
              if (!Object.hasOwn(merged, inner)) setKey(merged, inner, innerValue);
      } else setKey(object, name, item);
    }
    if (Object.keys(merged).length === 0) return object;
    for (const [name, item] of Object.entries(object)) setKey(merged, name, item);
    return merged;
  };

  const target = (alias: Alias): Node => {
    spend(4, alias);
    const node = anchors.get(alias.source);
    if (!node) throw fault(alias, `nothing is named *${alias.source}`);
    return node;
  };

  const scalar = (node: Scalar): JsonValue => {
    const { value, source = "" } = node;
    spend(source.length + 2, node);
    if (typeof value === "string" && node.type === "PLAIN") {
      if (yes.has(value)) return true;
      if (no.has(value)) return false;
    }
    if (typeof value === "string") return unmask(value);
    if (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value))
      return source;
    return toPlainJson(value, "YAML");
  };

  return convert(document.contents, 0);
}
