import { rules } from "./rules.ts";

const exact = new Set(rules.names);
/** The same names as programs write them without `_`: `hftoken`, `SharedAccessKey`. */
const flat = new Map(rules.names.map((name) => [name.replaceAll("_", ""), name]));
const proseKeys = new Set(rules.prose);
const cores = new Set(rules.cores);
const issuers = new Set(rules.issuers);
const weakKeys = new Set(rules.weak);
const harmless = new Set(rules.harmless);
const suffixes = new Set(rules.suffixes);

/**
 * A key whose values are secrets. `prose`: an everyday word too, so that a text needs more than
 * the word. `weak`: its values are secrets only where they look like one.
 */
export type SecretKey = { name: string; prose: boolean; weak?: boolean };

/** No name of a setting is longer. */
export const longestKey = 80;

/**
 * Whole words of the name decide, so that `class_tokens`, `max_token_length`, `tokenizer` and
 * `password_hash_algo` name no secret, and `api_token_prod` and `s3_key` do.
 */
function classify(key: string): SecretKey | undefined {
  const parts = key
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replaceAll("-", "_")
    .toLowerCase()
    .split("_")
    .filter(Boolean);
  while (parts.length > 1 && suffixes.has(parts.at(-1) ?? "")) parts.pop();
  const last = (parts.pop() ?? "").replace(/(?<=[a-z]{3})\d{1,2}$/, "");
  parts.push(last);
  const name = parts.join("_");
  if (exact.has(name)) return { name, prose: proseKeys.has(name) };
  const whole = flat.get(parts.join(""));
  if (whole !== undefined && !/[_-]/.test(key)) return { name: whole, prose: false };
  const before = parts.at(-2) ?? "";
  if (cores.has(last) || cores.has(`${before}_${last}`)) return { name, prose: false };
  if (!weakKeys.has(last)) return undefined;
  if ((last === "token" || last === "key") && issuers.has(before)) return { name, prose: false };
  if (parts.some((part) => harmless.has(part))) return undefined;
  return { name, prose: false, weak: true };
}

/** Names are few and come again and again; a text made of new ones starts the memory over. */
const classified = new Map<string, SecretKey | null>();

/** The secret key of this name, if its values are secrets. */
export function secretKey(key: string): SecretKey | undefined {
  if (key.length > longestKey || key.length < 3) return undefined;
  const known = classified.get(key);
  if (known !== undefined) return known ?? undefined;
  if (classified.size >= 5000) classified.clear();
  const found = classify(key);
  classified.set(key, found ?? null);
  return found;
}

/** Whether the word before `token` or `key` makes it no secret's name: `cache key`, `class token`. */
export const isHarmless = (word: string): boolean => harmless.has(word.toLowerCase());

/** Every secret key's name holds one of these pairs of letters: a cheap no for all others. */
const pairs = new Uint8Array(128 * 128);
for (const pair of ["to", "ke", "se", "pa", "pw", "au", "cr", "we", "ac", "si", "ap", "sh", "id"]) {
  for (const a of [pair.charCodeAt(0), pair.charCodeAt(0) - 32])
    for (const b of [pair.charCodeAt(1), pair.charCodeAt(1) - 32]) pairs[a * 128 + b] = 1;
}

/** The secret key at [from, to) of the units; most names are refused without making a string. */
export function secretKeyAt(
  units: ArrayLike<number>,
  from: number,
  to: number,
): SecretKey | undefined {
  if (to - from < 3 || to - from > longestKey) return undefined;
  let may = false;
  let previous = 0;
  for (let i = from; i < to; i++) {
    const unit = units[i] ?? 0;
    if (unit > 127) return undefined;
    if (pairs[previous * 128 + unit] === 1) may = true;
    previous = unit;
  }
  return may ? secretKey(textOf(units, from, to)) : undefined;
}

/** The units at [from, to) as a string. */
export function textOf(units: ArrayLike<number>, from: number, to: number): string {
  let text = "";
  for (let i = from; i < to && i < units.length; i++) text += String.fromCharCode(units[i] ?? 0);
  return text;
}

const nothing = new Set(rules.nothing);
/** References and blanks to fill in: `${HF_TOKEN}`, `%TOKEN%`, `<your token>`, `hf_...`. */
const placeholder =
  /^(?:\$\{[^{}]*\}|\$\w*[A-Z_]{3}\w*|\$env:\w+|\{\{[^{}]*\}\}|\{\w+\}|%\w+%|<[^<>]*>|your[-_ ][\w -]*|(?:[a-z]{2,4}[-_])?(?:x{3,}|\*{3,}|\.{3,}))$/i;
/** Beginnings of expressions that fetch a secret: none of them holds one. */
const reference =
  /^(?:os\.(?:environ|getenv)|getenv\(|process\.env|env[.(]|secrets\.|self\.|args\.|opt(?:ion)?s?\.|c(?:on)?fi?g\.|settings\.|!(?:env|secret|vault|ref|include)\b|\$\(|\$\{|\{\{)/;

/** Whether a value under a secret key is worth hiding; empty values and references are not. */
export function isSecretValue(value: string, key: SecretKey): boolean {
  const text = value.trim();
  if (!/[a-z0-9\u0080-\uffff]/i.test(text)) return false;
  if (text.length <= 9 && nothing.has(text.toLowerCase())) return false;
  if (text.startsWith("[redacted") || text.startsWith("://[redacted")) return false;
  if (text.length < 200 && (placeholder.test(text) || reference.test(text))) return false;
  // Code that passes a secret on by its name: `login(token=hf_token)`.
  if (text.length <= longestKey && /^[a-z_]+(?:\.[a-z_]+)*$/i.test(text))
    if (secretKey(text.slice(text.lastIndexOf(".") + 1))) return false;
  if (key.weak) return isRandom(text);
  // A count of tokens is a number, a password of digits is a password.
  return !(key.prose && text.length <= 12 && /^[-+\d._e]*$/i.test(text));
}

/** Counts and weights of words, as texts hold them: `{"password": 3}`, `(password:1.2)`. */
export const isCount = (text: string): boolean => /^[-+]?\d{0,3}(?:\.\d+)?$/.test(text);

/**
 * Whether it looks drawn by chance, as keys are: letters and digits that take turns within a long
 * word. Names of files, models and layers, UUIDs and SHA-256 hashes do not count.
 */
export function isRandom(text: string): boolean {
  if (text.length < 16 || !/^[\w+~-]{16,512}={0,2}$/.test(text)) return false;
  if (/^[0-9a-f]{64}$/i.test(text)) return false;
  if (/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text)) return false;
  const digits = text.replace(/\D/g, "").length;
  const turns = (text.match(/[a-z](?=\d)|\d(?=[a-z])/gi) ?? []).length;
  if (digits < 3 || turns < 3) return digits > 0 && isMixed(text);
  if (/[0-9a-z]{16}/i.test(text)) return true;
  return text.length >= 20 && turns >= 4 && /[a-z]/.test(text) && /[A-Z]/.test(text);
}

/** Few digits, but capitals beside capitals and small letters as no name in camel case has them. */
function isMixed(text: string): boolean {
  if (text.length < 24 || !/^[0-9A-Za-z]+$/.test(text)) return false;
  const changes = (text.match(/[a-z](?=[A-Z])|[A-Z](?=[a-z])/g) ?? []).length;
  return changes >= text.length * 0.3 && (text.match(/[A-Z](?=[A-Z])/g) ?? []).length >= 3;
}

/** Whether it looks like a password rather than a word of a sentence. */
export const looksChosen = (text: string): boolean =>
  text.length >= 6 && /[a-z]/i.test(text) && /[\d!@#$%^&*+=?~|]/.test(text);
