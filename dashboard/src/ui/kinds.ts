import { type Text, t } from "../i18n.ts";

const texts: Record<string, Text> = {
  final: "Final",
  checkpoint: "Checkpoint",
  state: "Training state",
  sample: "Sample",
  config: "Config",
};

/** The kind of a file, in the language in use. */
export const kindText = (kind: string) => {
  const text = texts[kind];
  return text ? t(text) : kind;
};
