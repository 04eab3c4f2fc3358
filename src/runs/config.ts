import { sha256Hex } from "../platform/http/hash.ts";
import { cleanValue } from "../platform/http/text.ts";
import { notValid } from "../platform/http/validate.ts";
import { fillableMarks, type Mark } from "../platform/secrets/marks.ts";
import { MARK, redactConfig } from "../platform/secrets/redact.ts";
import type { Declaration } from "../trainers/declarations/form.ts";
import { decodeConfig } from "../trainers/decode.ts";
import { ConfigSyntaxError } from "../trainers/formats/fault.ts";
import { type ConfigFormat, parseConfig } from "../trainers/parse.ts";
import { type Recognition, recognise } from "../trainers/recognise.ts";

export type Warning = { code: string; message: string; path?: string };

/**
 * A file as it came, and what its sender says of it. `secrets` are the keys whose values were taken
 * out of the file that this one was made from.
 */
export type SentFile = {
  bytes: Uint8Array;
  format?: ConfigFormat;
  path?: string;
  secrets?: string[];
};

/** Marks of a task's files that a repeat may fill, as they are kept with the files. */
type FileMark = Mark & { file: "config" | "dataset_file" };

/** The stored parts of a trainer's files, and the settings read from them. */
export type ReadConfig = {
  /** The file with its secrets replaced; null: the run was started by a command alone. */
  bytes: Uint8Array<ArrayBuffer> | null;
  sha256: string;
  /** The separate file that lists the data, kept in the same way. */
  dataset: { bytes: Uint8Array<ArrayBuffer>; path: string | null } | null;
  recognition: Recognition;
  warnings: Warning[];
  /** Null where neither file holds a mark. */
  secrets: FileMark[] | null;
};

/** One file's text without secrets. Throws ApiError 422 when it is no text. */
function readText({ bytes: original }: SentFile, field: string) {
  const redacted = redactConfig(original);
  const decoded = decodeConfig(redacted.bytes);
  if (!decoded)
    throw notValid([{ path: field, message: "is not a text: it holds NUL bytes" }], "The file");
  const warnings: Warning[] = redacted.redactions.map(({ where }) => ({
    code: "secret-redacted",
    message: `A secret was replaced by [redacted]: ${where}.`,
    path: where,
  }));
  if (decoded.warning) warnings.unshift({ code: "encoding", message: decoded.warning });
  return {
    bytes: new Uint8Array(redacted.bytes),
    text: decoded.text,
    warnings,
    marks: redacted.marks,
  };
}

/** The marks of a stored file that a repeat may fill; none of a file that cannot be parsed. */
function marksIn(
  bytes: Uint8Array,
  { format, path, secrets }: Omit<SentFile, "bytes">,
  made?: number[],
): Mark[] {
  const parse = (text: Uint8Array) =>
    parseConfig(decodeConfig(text)?.text ?? "", format, path).value;
  try {
    return fillableMarks(bytes, parse, made, secrets);
  } catch (error) {
    if (!(error instanceof ConfigSyntaxError)) throw error;
    return [];
  }
}

/** Whether a file holds a mark at all, in whatever encoding. */
const holdsMark = (text: string | undefined) => text?.includes(MARK) === true;

type StoredFiles = {
  format: ConfigFormat | (string & {});
  path: string | null;
  original: Uint8Array;
  datasetPath: string | null;
  datasetOriginal: Uint8Array | null;
  secrets: FileMark[] | null;
};

/**
 * The marks of a task's files that a repeat may fill. Of files that were stored before marks were
 * noted they are found anew, and all of them count as typed: nobody knows who wrote them.
 */
export function secretsOf(row: StoredFiles): { config: Mark[]; dataset: Mark[] } {
  const of = (file: FileMark["file"], bytes: Uint8Array | null, about: Omit<SentFile, "bytes">) =>
    row.secrets
      ? row.secrets.flatMap(({ file: of, ...mark }) => (of === file ? [mark] : []))
      : bytes
        ? marksIn(bytes, about)
        : [];
  return {
    config: of("config", new Uint8Array(row.original), {
      format: row.format as ConfigFormat,
      path: row.path ?? undefined,
    }),
    dataset: of("dataset_file", row.datasetOriginal && new Uint8Array(row.datasetOriginal), {
      path: row.datasetPath ?? undefined,
    }),
  };
}

/** A recognition with clean texts: a file may spell any character as an escape. */
const cleanRecognition = (input: Parameters<typeof recognise>[0]) =>
  // Cleaning changes characters of texts alone.
  cleanValue(recognise(input)) as Recognition;

/**
 * Reads a trainer's files: secrets are replaced in their bytes, the rest stays as it is; what they
 * say is recognised from what is left. Throws ApiError 422 with line and column when the trainer's
 * own file is broken. `command` has its secrets replaced already; `own` are dialects of people.
 */
export async function readConfigFile(
  file: SentFile | null,
  command: string[] | undefined,
  dataset: SentFile | null = null,
  own: Declaration[] = [],
): Promise<ReadConfig> {
  const main = file && readText(file, "config");
  const data = dataset && readText(dataset, "dataset_file");
  let recognition: Recognition;
  try {
    recognition = cleanRecognition({
      text: main?.text ?? "",
      ...(file && { format: file.format, path: file.path }),
      ...{ command, own },
      ...(data && { dataset: { text: data.text, format: dataset.format, path: dataset.path } }),
    });
  } catch (error) {
    if (!(error instanceof ConfigSyntaxError)) throw error;
    throw notValid(
      [
        {
          path: `config (line ${error.line}, column ${error.column})`,
          message: error.message,
        },
      ],
      "The file",
    );
  }
  const marks = (name: FileMark["file"], read: typeof main, about: SentFile | null) =>
    read && about
      ? marksIn(read.bytes, about, read.marks).map((mark): FileMark => ({ file: name, ...mark }))
      : [];
  const hasMarks = holdsMark(main?.text) || holdsMark(data?.text);
  return {
    bytes: main?.bytes ?? null,
    sha256: main ? await sha256Hex(main.bytes) : "",
    dataset: data && { bytes: data.bytes, path: dataset.path ?? null },
    recognition,
    warnings: [...(main?.warnings ?? []), ...(data?.warnings ?? []), ...recognition.warnings],
    secrets: hasMarks
      ? [
          ...marks("config", main, file && { ...file, format: recognition.format }),
          ...marks("dataset_file", data, dataset),
        ]
      : null,
  };
}
