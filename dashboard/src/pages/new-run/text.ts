import { t } from "../../i18n.ts";

/** Bytes of a file that the ledger takes with one request. */
export const MOST_BYTES = 4_000_000;
/** A longer text is shown in part, and sent as it is. */
export const MOST_EDITED = 500_000;

/** The text of a file in UTF-8. Throws an Error, in words for people, where it is none. */
export function decodeText(bytes: Uint8Array): string {
  if (bytes.length > MOST_BYTES) throw new Error(t("The file is over 4 MB."));
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new Error(t("The file is no text in UTF-8. `lora-ledger queue FILE` takes it as it is."));
  }
}
