import type { Repeat, Template } from "./queries.ts";
import { decodeText } from "./text.ts";

/** A run in the making. */
export type Draft = {
  text: string;
  /** The name of the file, which decides its format. */
  path: string;
  dataset: { text: string; path: string } | null;
  command: string[] | null;
  dialect: string | null;
  name: string;
  group: string;
  parent: number | null;
  /** The text that this one began as, for the lines that differ; null: it began empty. */
  before: string | null;
  /** The marks that a box fills, of the files and of the command. */
  secrets: {
    config: { name: string }[];
    dataset: { name: string }[];
    command: { at: number; name: string }[];
  };
  imagesPerEpoch: number | null;
};

export const emptyDraft: Draft = {
  text: "",
  path: "",
  dataset: null,
  command: null,
  dialect: null,
  name: "",
  group: "",
  parent: null,
  before: null,
  secrets: { config: [], dataset: [], command: [] },
  imagesPerEpoch: null,
};

export const draftOfTemplate = ({
  text,
  path,
  dataset_file: dataset,
  command,
}: Template): Draft => ({
  ...emptyDraft,
  text,
  path,
  dataset,
  command,
});

const bytesOf = (base64: string) => Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));

type Origin = { task_name: string; experiment_group: string | null; id: number };

/** A copy of a run: its files byte for byte. Throws an Error where a file is no UTF-8 text. */
export function draftOfRun(task: Origin, repeat: Repeat): Draft {
  const { config, dataset_file: dataset, command, dialect } = repeat;
  const text = config ? decodeText(bytesOf(config.base64)) : "";
  // Images of an epoch: each set's images as often as it is repeated.
  const counts = repeat.datasets.map(({ image_count: n, repeats }) =>
    typeof n === "number" ? n * (repeats ?? 1) : null,
  );
  const images = counts.reduce((sum, n) => (sum === null || n === null ? null : sum + n), 0);
  return {
    ...emptyDraft,
    text,
    path:
      config?.path ?? (config ? `config.${config.format === "text" ? "txt" : config.format}` : ""),
    dataset: dataset && {
      text: decodeText(bytesOf(dataset.base64)),
      path: dataset.path ?? "dataset.toml",
    },
    command,
    dialect,
    name: task.task_name,
    group: task.experiment_group ?? "",
    parent: task.id,
    before: text,
    secrets: {
      config: config?.secrets ?? [],
      dataset: dataset?.secrets ?? [],
      command: repeat.command_secrets,
    },
    imagesPerEpoch: counts.length > 0 ? images : null,
  };
}

const KEY = "ledger.new-run";
/** Longer drafts are not kept over a reload. */
const MOST_KEPT = 1_000_000;

/** Keeps what was typed in this tab, over a reload and a new sign-in; `from` is the page's address. */
export function keepDraft(from: string, draft: Draft) {
  const text = JSON.stringify({ from, draft });
  try {
    if (text.length <= MOST_KEPT) sessionStorage.setItem(KEY, text);
  } catch {
    // The browser has no room: the draft is on the page alone.
  }
}

/** The draft that this tab kept of the address; null where there is none. */
export function keptDraft(from: string): Draft | null {
  const kept: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
  if (typeof kept !== "object" || kept === null || Reflect.get(kept, "from") !== from) return null;
  // keepDraft() of this very page wrote it.
  return { ...emptyDraft, ...(Reflect.get(kept, "draft") as Draft) };
}

export const forgetDraft = () => sessionStorage.removeItem(KEY);
