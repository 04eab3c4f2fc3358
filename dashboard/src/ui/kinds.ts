import { type Text, t } from "../i18n.ts";

const texts: Record<string, Text> = {
  final: "Final",
  checkpoint: "Checkpoint",
  state: "Training state",
  sample: "Sample",
  config: "Config",
};

/** What kind of file it is, in a word. */
export const kindText = (kind: string) => {
  const text = texts[kind];
  return text ? t(text) : kind;
};
