import { sha256Hex } from "../http/hash.ts";
import { cleanValue } from "../http/text.ts";
import { notValid } from "../http/validate.ts";
import { redactConfig } from "../secrets/redact.ts";
import { decodeConfig } from "../trainers/decode.ts";
import type { ConfigFormat, Recognition } from "../trainers/recognise.ts";
import { ConfigSyntaxError, recognise } from "../trainers/recognise.ts";

export type Warning = { code: string; message: string; path?: string };

/** A file as it came, and what its sender says of it. */
export type SentFile = { bytes: Uint8Array; format?: ConfigFormat; path?: string };

/** What is kept of a trainer's files, and what was read from them. */
export type ReadConfig = {
  /** The file with its secrets replaced; null: the run was started by a command alone. */
  bytes: Uint8Array<ArrayBuffer> | null;
  sha256: string;
  /** The separate file that lists the data, kept in the same way. */
  dataset: { bytes: Uint8Array<ArrayBuffer>; path: string | null } | null;
  recognition: Recognition;
  warnings: Warning[];
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
  return { bytes: new Uint8Array(redacted.bytes), text: decoded.text, warnings };
}

/** What is recognised, its texts clean: a file may spell any character as an escape. */
const cleanRecognition = (input: Parameters<typeof recognise>[0]) =>
  // Cleaning changes characters of texts alone.
  cleanValue(recognise(input)) as Recognition;

/**
 * Reads a trainer's files: secrets are replaced in their bytes, the rest stays as it is; what they
 * say is recognised from what is left. Throws ApiError 422 with line and column when the trainer's
 * own file is broken. `command` has its secrets replaced already.
 */
export async function readConfigFile(
  file: SentFile | null,
  command: string[] | undefined,
  dataset: SentFile | null = null,
): Promise<ReadConfig> {
  const main = file && readText(file, "config");
  const data = dataset && readText(dataset, "dataset_file");
  let recognition: Recognition;
  try {
    recognition = cleanRecognition({
      text: main?.text ?? "",
      ...(file && { format: file.format, path: file.path }),
      command,
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
  return {
    bytes: main?.bytes ?? null,
    sha256: main ? await sha256Hex(main.bytes) : "",
    dataset: data && { bytes: data.bytes, path: dataset.path ?? null },
    recognition,
    warnings: [...(main?.warnings ?? []), ...(data?.warnings ?? []), ...recognition.warnings],
  };
}
