import type { TaskFields } from "../../dialect.ts";
import type { recognise } from "../../recognise.ts";

/** An input as people write it, and all that is read from it: a column in neither list is empty. */
export type Case = {
  trainer: string;
  /** What is special about the input. */
  about: string;
  kind?: "dataset" | "full-fine-tune" | "unknown" | "preset";
  input: Omit<Parameters<typeof recognise>[0], "command"> & { command?: string };
  read: TaskFields;
  defaults: TaskFields;
  /** Codes of warnings. */
  warnings?: string[];
};
