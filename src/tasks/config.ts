import { sha256Hex } from "../http/hash.ts";
import { notValid } from "../http/validate.ts";
import { redactConfig } from "../secrets/redact.ts";
import { decodeConfig } from "../trainers/decode.ts";
import type { ConfigFormat, Recognition } from "../trainers/recognise.ts";
import { ConfigSyntaxError, recognise } from "../trainers/recognise.ts";

export type Warning = { code: string; message: string; path?: string };

/** What is kept of a trainer's file, and what was read from it. */
export type ReadConfig = {
  bytes: Uint8Array<ArrayBuffer>;
  sha256: string;
  recognition: Recognition;
  warnings: Warning[];
};

/**
 * Reads a trainer's file: secrets are replaced in its bytes, the rest stays as it is; what it says
 * is recognised from what is left. Throws ApiError 422 with line and column when it is broken.
 */
export async function readConfigFile(
  original: Uint8Array<ArrayBuffer>,
  hints: { format?: ConfigFormat; path?: string; command?: string[] },
): Promise<ReadConfig> {
  const redacted = redactConfig(original);
  const decoded = decodeConfig(redacted.bytes);
  if (!decoded)
    throw notValid([{ path: "config", message: "is not a text: it holds NUL bytes" }], "The file");
  let recognition: Recognition;
  try {
    recognition = recognise({ text: decoded.text, ...hints });
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
  const bytes = new Uint8Array(redacted.bytes);
  return {
    bytes,
    sha256: await sha256Hex(bytes),
    recognition,
    warnings: [
      ...(decoded.warning ? [{ code: "encoding", message: decoded.warning }] : []),
      ...redacted.redactions.map(({ where }) => ({
        code: "secret-redacted",
        message: `A secret was replaced by [redacted]: ${where}.`,
        path: where,
      })),
      ...recognition.warnings,
    ],
  };
}
