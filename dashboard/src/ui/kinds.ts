import { type Text, t } from "../i18n.ts";

const texts: Record<string, Text> = {
  final: "Final",
  checkpoint: "Checkpoint",
  state: "Training state",
  sample: "Sample",
  config: "Config",
};

/** What a file of a run is: its kind, but for the packed console, which is none of the trainer's states. */
export const fileKindText = ({ kind, filename }: { kind: string; filename: string }) =>
  filename === "console.log.gz" ? t("Console") : kindText(kind);

/** The kind of a file, in the language in use. */
export const kindText = (kind: string) => {
  const text = texts[kind];
  return text ? t(text) : kind;
};
