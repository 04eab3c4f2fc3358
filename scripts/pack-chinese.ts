/**
 * The client's Chinese sentences for its one file, where their English is there already: each is found by the CRC-32 of
 * the English, and all are compressed, together a fifth of what the modules take.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";

/** A line of a catalogue, as ruff formats it: `    "English": "Chinese",`. */
const pair = /^ {4}("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'): ("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'),$/;

/** The value of a Python string literal. Throws where it has an escape other than of n, quotes and backslash. */
function literal(text: string): string {
  return text.slice(1, -1).replace(/\\(.)/g, (_, c: string) => {
    if (!`n"'\\`.includes(c)) throw new Error(`the escape \\${c} in ${text}`);
    return c === "n" ? "\n" : c;
  });
}

/** The sentences of the catalogues in a folder, by the name of their dict: English → Chinese. */
export function readCatalogues(folder: string): Record<string, Map<string, string>> {
  const dicts: Record<string, Map<string, string>> = {};
  for (const file of readdirSync(folder).sort()) {
    if (!file.endsWith(".py") || file === "__init__.py") continue;
    let dict: Map<string, string> | undefined;
    for (const line of readFileSync(join(folder, file), "utf8").split(/\r?\n/)) {
      const opening = /^([A-Z]+) = \{$/.exec(line)?.[1];
      if (opening) dict = dicts[opening] ??= new Map();
      const [, english, chinese] = pair.exec(line) ?? [];
      if (english && chinese && dict) dict.set(literal(english), literal(chinese));
      else if (line.startsWith("    "))
        throw new Error(`${file} has a line of another form: ${line}`);
    }
  }
  return dicts;
}

/** The text of the module `lora_ledger.chinese` with the sentences packed. */
export function packChinese(folder: string): string {
  const packed = Object.entries(readCatalogues(folder)).map(([name, sentences]) => {
    const numbers = [...sentences.keys()].map((english) => crc32(english));
    if (new Set(numbers).size !== numbers.length)
      throw new Error(`two sentences of ${name} have one CRC-32: change one of them`);
    const head = Buffer.alloc(4 * numbers.length);
    for (const [at, number] of numbers.entries()) head.writeUInt32BE(number, 4 * at);
    const body = Buffer.from([...sentences.values()].join("\0"));
    const text = deflateSync(Buffer.concat([head, body]), { level: 9 }).toString("base64");
    return `${name} = Packed(${numbers.length}, """\n${text.replace(/.{1,118}/g, "$&\n")}""")\n`;
  });
  return `import base64
import struct
import zlib


class Packed:
	"""English sentence → Chinese sentence, those of client/src/lora_ledger/chinese: compressed, each by the CRC-32 of its
	English."""

	def __init__(self, count, text):
		data = zlib.decompress(base64.b64decode(text))
		numbers = struct.unpack_from(f">{count}I", data)
		self.sentences = dict(zip(numbers, data[4 * count :].decode().split("\\0")))

	def get(self, english, other):
		return self.sentences.get(zlib.crc32(english.encode("utf-8", "replace")), other)


${packed.join("\n")}`;
}
