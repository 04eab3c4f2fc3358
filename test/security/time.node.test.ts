// Feeds every reader of what clients send a megabyte, or its own bound, of the characters it likes
// least. CPU time is measured, not the clock, so that a busy machine does not fail it.
import { describe, expect, it } from "vitest";
import { makeMessage } from "../../src/alerts/message.ts";
import { readSafetensors } from "../../src/files/safetensors.ts";
import { plain, renderCard } from "../../src/models/card.ts";
import type { Provenance } from "../../src/models/provenance.ts";
import { filterTerms, parseOrder } from "../../src/platform/filter/compile.ts";
import { contentDisposition, parseRange } from "../../src/platform/http/download.ts";
import { decodeCursor } from "../../src/platform/http/page.ts";
import { ifMatch } from "../../src/platform/http/preconditions.ts";
import { parseJson } from "../../src/platform/http/validate.ts";
import { spaceOut, toMatchQuery } from "../../src/platform/search/words.ts";
import {
  redactCommand,
  redactConfig,
  redactJson,
  redactText,
} from "../../src/platform/secrets/redact.ts";
import { findPlaces, writeValues } from "../../src/queue/search-edit.ts";
import { readGroupings, readSelected } from "../../src/reports/aggregates.ts";
import { fileDiff } from "../../src/reports/compare.routes.ts";
import { exportColumns } from "../../src/reports/export-columns.ts";
import { readFileRegistration, readRegistration } from "../../src/runs/register.ts";
import { MAX_PARSED, MAX_YAML, parseAs, parseConfig } from "../../src/trainers/parse.ts";
import { recognise } from "../../src/trainers/recognise.ts";

const MB = 1_000_000;
/** What a reader takes at most for its longest text on a quiet machine, in ms. */
const FAST_MS = 200;
/** What it may take where others use the machine too, as long as it grows with the length alone. */
const MOST_MS = 1000;
/** Four times the text may take so many times as long; 16 times would be quadratic. */
const MOST_GROWTH = 9;
/**
 * What four times the text takes at most where the next four times will take less than STRAIGHT_NEXT as long,
 * if time is a·n + b·n²: (4a + b) / (a + b/16) is 4.6 for b = 0.84 a, and then (a + b) / (a/4 + b/16) is 6.1.
 */
const STRAIGHT = 4.6;
const STRAIGHT_NEXT = 6.1;
/** Every text is read up to this part of a reader's bound, and so many of the slowest up to the bound itself. */
const PART = 1 / 4;
const WHOLE = 2;

const encoder = new TextEncoder();

/** Milliseconds of CPU time that this process has used. */
function cpuTime(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

async function timeOf(work: () => unknown): Promise<number> {
  const begin = cpuTime();
  try {
    await work();
  } catch (error) {
    // A refusal is an answer; running out of stack or memory is not.
    if (error instanceof RangeError) throw error;
  }
  return cpuTime() - begin;
}

const units = [
  ..."\"'\\[]{}()<>:;,.|/#%&*!?@`~^$=+-_ \t\n\r0eaA\u0301中😀\u200b\ufeff\u2028",
  ...['\\"', '"\\', '":', '":"', '"a":', '{"a":', "{}", "[]", "[[", "]]", "- ", "-\n", "- - "],
  ...["a: ", "a:\n", "a: 1\n", "a=1\n", "a = 1", "a.", ".a", "a,", "1,", "1e", "NaN,", "-Infinity"],
  ...["[a]\n", "[[a]]\n", "'''", '"""', "&a ", "*a ", "<<: *a\n", "? ", "# a\n", "\r\n", "\n\n"],
  ...[
    "\\u0000",
    "\\n",
    "  ",
    " x",
    "//",
    "\\\\",
    "../",
    "--a=",
    "token=",
    "token: | ",
    "hf_",
    "eyJ",
  ],
  ...["://a:", "-----BEGIN ", "Bearer ", "and ", "not ", "or a", "like '%", "www.", "``", "` "],
  // biome-ignore-start lint/suspicious/noTemplateCurlyInString: the variables are the shell's.
  ...[
    "${A",
    "${A:-",
    "${A[@]} ",
    "$A ",
    "$(",
    "A=$A\n",
    "A=( ",
    "A+=(x) ",
    "<<A\n",
    "if ",
    "\\\n",
    "x.py --a $A\n",
  ],
  // biome-ignore-end lint/suspicious/noTemplateCurlyInString: the variables are the shell's.
  ...[".lora_A", ".lora_A.weight", "[name]", "{b = 1},", "k: {a: 1}\n", '" "', "',' "],
];
/** What a text begins with, so that a reader gets as far as the units. */
const openings: Record<string, string[]> = {
  none: [""],
  toml: ["", 'a = "', "a = [", "a = {", 'a = """', "[a]\nb = "],
  json: ["", '{"a":"', '{"a":NaN,"b":"', "{", "[", '{":":"'],
  yaml: ["", 'a: "', "a: [", "- "],
  // Each format's reader has openings of its own above.
  any: ["", "{"],
  quoted: ["", '"', "'"],
  shell: ["", "A=(", "A=x\npython train_network.py ", 'python a.py "'],
};

type Reader = {
  opening?: keyof typeof openings;
  /** The reader's own bound, in characters. */
  length?: number;
  read: (text: string) => unknown;
};

const times = (text: string, length: number) =>
  text.repeat(Math.ceil(length / text.length)).slice(0, length);
const words = (text: string) => ["python", "train_network.py", text, `--a`, text];
const everyWord = (text: string) => [
  "python",
  "x.py",
  ...(text.match(/.{1,20}/gs)?.slice(0, 2000) ?? []),
];

/** A safetensors file of a header alone. */
async function readHeader(header: object) {
  const json = encoder.encode(JSON.stringify(header));
  const file = new Uint8Array(8 + json.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(json.length), true);
  file.set(json, 8);
  await readSafetensors(async (from, length) => file.slice(from, from + length), file.length);
}

const tensor = { dtype: "F16", shape: [4, 4], data_offsets: [0, 0] };

const told = (text: string) => ({
  uid: "evt",
  kind: "failed" as const,
  subject: "task" as const,
  subjectId: 1,
  attempt: 1,
  userId: 1,
  userName: text,
  name: text,
  experimentGroup: text,
  detail: { error_message: text },
  createdAt: "2026-01-01T00:00:00.000Z",
});

/** A version whose every text is the same. */
function versionOf(text: string): Provenance {
  const answer = {
    ...{ model: text, version: 1, filename: text, sha256: text, size: 1, algorithm: text, rank: 4 },
    ...{ alpha: 4, base_arch: text, license: text, notes: text, weight: null },
    samples: [{ weight_id: 1, filename: text, prompt: text }],
    datasets: [{ name: text, image_count: 1, tag_distribution: { [text]: 1 } }],
    review: { decision: "approved", reviewer: text, at: text, reason: text },
  };
  const run = { taskName: text, id: 1, baseModelPath: text, optimizer: text };
  const metadata = { ss_tag_frequency: JSON.stringify({ a: { [text]: 1 } }) };
  // The card reads texts and figures alone; the rest of a version is no part of it.
  return { answer, run, metadata } as unknown as Provenance;
}

const readers: Record<string, Reader> = {
  TOML: {
    opening: "toml",
    length: MAX_PARSED,
    read: (text) => parseConfig(text, "toml", undefined),
  },
  JSON: {
    opening: "json",
    length: MAX_PARSED,
    read: (text) => parseConfig(text, "json", undefined),
  },
  YAML: { opening: "yaml", length: MAX_YAML, read: (text) => parseAs("yaml", text) },
  "a shell script": {
    opening: "shell",
    length: MAX_PARSED,
    read: (text) => recognise({ text, path: "train.sh" }),
  },
  "a file of unknown format": { opening: "any", read: (text) => recognise({ text }) },
  "a registration in JSON": {
    read: (text) =>
      readRegistration(
        { task_name: "a", notes: text.slice(0, 50_000), node_info: text, other: { text } },
        text,
      ),
  },
  "a registration's file": {
    read: (text) =>
      readFileRegistration(new Uint8Array(encoder.encode(text)), {}, "application/octet-stream"),
  },
  "an ai-toolkit job": {
    read: (text) =>
      recognise({
        text: JSON.stringify({
          job: "extension",
          config: {
            name: text.slice(0, MB / 2),
            process: [{ training_folder: text.slice(0, MB / 2), train: {}, network: {} }],
          },
        }),
      }),
  },
  "a long value of each column": {
    read: (text) =>
      recognise({
        text: JSON.stringify({
          network_module: "networks.lora",
          base_model: text,
          output_dir: text,
        }),
      }),
  },
  "a command of long words": {
    read: (text) => recognise({ text: "", command: words(text.slice(0, MB / 2)) }),
  },
  "a command of many words": { read: (text) => recognise({ text: "", command: everyWord(text) }) },
  "redaction of a file": { opening: "quoted", read: (text) => redactConfig(encoder.encode(text)) },
  "redaction of a log": { opening: "quoted", read: (text) => redactText(text, "tail") },
  "redaction of a command": { read: (text) => redactCommand([...everyWord(text), text]) },
  "redaction of values": { read: (text) => redactJson({ [text.slice(0, 1000)]: [text, {}] }, "a") },
  "a body in JSON": { opening: "json", read: parseJson },
  "a filter": {
    length: 20_000,
    opening: "quoted",
    read: (text) => filterTerms(`a = 1 and ${text}`),
  },
  order_by: { length: 1000, opening: "quoted", read: (text) => parseOrder(`config.a${text}b`) },
  "a long order_by": { length: 1000, opening: "quoted", read: (text) => parseOrder(text) },
  group_by: { length: 1000, opening: "quoted", read: (text) => readGroupings(`day(${text})`) },
  select: { length: 2000, opening: "quoted", read: (text) => readSelected(`p50(${text})`) },
  columns: { length: 10_000, opening: "quoted", read: (text) => exportColumns(text, "csv") },
  "search words": { length: 500, opening: "quoted", read: toMatchQuery },
  "text for the index of words": { read: spaceOut },
  "a cursor": {
    length: 4000,
    read: (text) => decodeCursor("tasks", text, { safeParse: () => ({}) } as never),
  },
  "If-Match": { opening: "quoted", read: (text) => ifMatch(`W/"1${text}`) },
  Range: { read: (text) => parseRange(`bytes=${text}`, 100) },
  "a file's name": { length: 255, read: (text) => contentDisposition("inline", text) },
  "a file's tensor names": {
    read: (text) => readHeader({ [`a${text}.lora_down.weight`]: tensor, [`${text}\n`]: tensor }),
  },
  "a file's metadata": {
    read: (text) => readHeader({ __metadata__: { a: text, b: `{"a":"${text}` } }),
  },
  Markdown: { read: plain },
  "a model card": {
    length: 100_000,
    read: (text) =>
      renderCard(
        versionOf(text),
        { name: "m", description: text, taskType: null, tags: { a: text } },
        new Map([[1, "https://a"]]),
      ),
  },
  "an alert": {
    read: async (text) => {
      for (const target of ["generic", "slack", "discord", "feishu", "wecom"] as const)
        await makeMessage(
          { target, url: "https://a.example", secret: null },
          told(text),
          undefined,
          new Date(0),
        );
    },
  },
  "a sweep's base": {
    length: 500_000,
    opening: "toml",
    read: (text) => {
      const toml = `[net]\nlr = 1 # x\nb = """\n${text.replaceAll(/["\\\p{Cc}]/gu, " ")}"""\n`;
      const root = parseAs("toml", toml);
      const places = findPlaces("toml", toml, root, ["lr"]);
      writeValues("toml", toml, root, places, ["lr"], [2]);
    },
  },
  "the lines of a sweep's base": {
    length: 500_000,
    read: (text) => {
      const line = text.replaceAll(/[^ \t,.#'a-z0-9]/g, " ");
      const toml = `lr = 1\nb = [ ${JSON.stringify(line)}, ${" ".repeat(100_000)} ] # ${line}\n${" ".repeat(100_000)}c = 1\n`;
      const root = parseAs("toml", toml);
      findPlaces("toml", toml, root, ["lr"]);
    },
  },
};

/** Texts that are hard for reasons of their own. */
const special: Record<string, [bound: number, make: (length: number) => string]> = {
  "keys of one table": [
    MAX_PARSED,
    (length) => Array.from({ length: length / 12 }, (_, n) => `k${n} = ${n}`).join("\n"),
  ],
  tables: [
    MAX_PARSED,
    (length) => Array.from({ length: length / 12 }, (_, n) => `[t.k${n}]`).join("\n"),
  ],
  "lists of tables": [
    MAX_PARSED,
    (length) => Array.from({ length: length / 16 }, (_, n) => `[[a]]\n[a.b${n}]`).join("\n"),
  ],
  "one number": [MAX_PARSED, (length) => `a = ${"9".repeat(length)}`],
  "one hexadecimal number": [MAX_PARSED, (length) => `a = 0x${"f".repeat(length)}`],
  "digits with underscores": [MAX_PARSED, (length) => `a = 1${"_1".repeat(length / 2)}`],
  "one dotted key": [MAX_PARSED, (length) => `a${".a".repeat(length / 2)} = 1`],
  "JSON's numbers": [
    MAX_PARSED,
    (length) => `{"a":[${"12345678901234567890,".repeat(length / 21)}1]}`,
  ],
  "JSON's keys": [
    MAX_PARSED,
    (length) => `{${Array.from({ length: length / 12 }, (_, n) => `"k${n}":${n}`).join(",")}}`,
  ],
  "braces and colons": [MAX_PARSED, (length) => `{${'": '.repeat(length / 3)}}`],
  "blanks before colons": [
    MAX_PARSED,
    (length) => `{"a"${`${" ".repeat(100)}:x`.repeat(length / 102)}}`,
  ],
  anchors: [
    MAX_YAML,
    (length) => Array.from({ length: length / 16 }, (_, n) => `k${n}: &a${n} 1`).join("\n"),
  ],
  "aliases of aliases": [
    MAX_YAML,
    (length) =>
      `a0: &a0 [x]\n${Array.from({ length: length / 40 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}, *a${n}]`).join("\n")}`,
  ],
  merges: [
    MAX_YAML,
    (length) => `a: &a {${"k: 1, ".repeat(100)}}\n${"b: {<<: [*a, *a, *a]}\n".repeat(length / 24)}`,
  ],
};

/** What is too slow of a part of a reader's bound, if anything is, and about how long it takes, in ms. */
async function look(
  read: Reader["read"],
  make: (length: number) => string,
  bound: number,
  part: number,
) {
  const length = Math.floor(bound * part);
  const [long, short] = [make(length), make(length / 4)];
  const [fast, most] = [FAST_MS * part, MOST_MS * part];
  // Where even quadratic growth would stay below the bound, no more is to be seen.
  const first = await timeOf(() => read(short));
  if (first < fast / 16) return { took: 4 * first };
  // What grew no faster than its length so far, and is far from the bound, needs no look at the whole.
  const start = await timeOf(() => read(make(length / 16)));
  if (first < STRAIGHT * start && first * STRAIGHT_NEXT < most) return { took: 4 * first };
  const isSlow = (took: number, before: number) =>
    took > most || (took > fast / 2 && took / Math.max(before, 5) > MOST_GROWTH);
  let took = await timeOf(() => read(long));
  // Measuring again only ever finds less, so what is well within the bounds needs no third look.
  let before = Math.min(first, await timeOf(() => read(short)));
  if (!isSlow(took, before / 2)) return { took };
  for (let n = 0; n < 3; n++) before = Math.min(before, await timeOf(() => read(short)));
  for (let n = 0; n < 3 && isSlow(took, before); n++)
    took = Math.min(took, await timeOf(() => read(long)));
  const fault = isSlow(took, before) ? `${Math.round(before)} ms, then ${Math.round(took)} ms` : "";
  return { took, fault };
}

/** The faults of a reader among these texts: all of them at a part of its bound, the slowest up to it. */
async function faultsOf(
  read: Reader["read"],
  texts: [name: string, make: (length: number) => string][],
  bound: number,
) {
  const faults: string[] = [];
  const seen: { name: string; make: (length: number) => string; took: number }[] = [];
  for (const [name, make] of texts) {
    if (faults.length > 5) return faults;
    const { took, fault } = await look(read, make, bound, PART);
    if (fault) faults.push(`${name}: ${fault}`);
    else seen.push({ name, make, took });
  }
  seen.sort((a, b) => b.took - a.took);
  for (const { name, make } of seen.slice(0, WHOLE)) {
    const { fault } = await look(read, make, bound, 1);
    if (fault) faults.push(`${name}: ${fault}`);
  }
  return faults;
}

describe("time", () => {
  it("sees a reader whose time grows with the square", async () => {
    // Each of the letters begins a search to the end.
    const read = (text: string) => /a*b/.test(text.slice(0, text.length / 28));
    const texts: Parameters<typeof faultsOf>[1] = [
      ["b", (length) => "b".repeat(length)],
      ["a", (length) => "a".repeat(length)],
    ];
    expect(await faultsOf(read, texts, MB)).toEqual([expect.stringMatching(/^a: /)]);
  });

  it.each(Object.entries(readers))(
    "grows no faster than %s",
    async (_, { opening = "none", length = MB, read }) => {
      const texts = (openings[opening] ?? []).flatMap((begin) =>
        units.map((unit): [string, (n: number) => string] => [
          `${JSON.stringify(begin)} and many ${JSON.stringify(unit)}`,
          (n) => (begin + times(unit, n)).slice(0, n),
        ]),
      );
      expect(await faultsOf(read, texts, length)).toEqual([]);
    },
    600_000,
  );

  it.each(Object.entries(special))(
    "grows no faster than a file's %s",
    async (name, [bound, make]) => {
      const read = (text: string) => recognise({ text });
      expect(await faultsOf(read, [[name, make]], bound)).toEqual([]);
    },
    60_000,
  );

  // Of 50 tasks each has two fifths of what 20 have.
  it.each([
    [19, 65_536],
    [49, 26_214],
  ])("compares files that differ in every line, %i with a first one", async (pairs, bytes) => {
    const file = (id: number, line: string) => ({ id, text: times(line, bytes) });
    const work = () => {
      for (let n = 0; n < pairs; n++) fileDiff(file(1, "a\nb\nc\n"), file(2, "c\nb\na\n"), pairs);
    };
    const best = Math.min(await timeOf(work), await timeOf(work), await timeOf(work));
    expect(best).toBeLessThan(MOST_MS);
  });
});
