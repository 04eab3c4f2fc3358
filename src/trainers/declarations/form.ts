import type { TrainerField } from "../../shared/run-fields.ts";

/** A plain value of a setting. */
export type Scalar = string | number | boolean;

/**
 * What has to hold of one setting; all that is said of it has to. Texts are compared without regard
 * to case, and a number or a boolean by what it is written as.
 */
export type Condition = {
  /** A setting, or the names it had over time: the first that is there. */
  key: string | string[];
  /** Its value is one of these. */
  is?: Scalar[];
  /** Its value is none of these; a setting that is not there is none of them. */
  not?: Scalar[];
  /** Its text holds this one. */
  has?: string;
  /** Whether it is there, and not empty. */
  given?: boolean;
};

/**
 * How one column is filled. The first of `cases` that holds wins, then the first of `keys` that has a value,
 * then `joined`, a flag, the launcher, and what `or` says.
 */
export type ColumnRule = {
  /** What several settings say together. */
  cases?: { where: Condition[]; value: Scalar }[];
  /** Paths of settings, such as `network.rank` or `datasets[].path`; arguments are named without dashes. */
  keys?: string[];
  /** What a spelling of the trainer's means here. Other spellings stay as they are. */
  words?: { [spelling: string]: Scalar };
  /** Takes only values that `words` or the catalogue of `arch` know. */
  known?: true;
  /** Settings that say the column together, such as a width and a height: all of them, joined by commas. */
  joined?: string[];
  /** Settings that are on or off, and what the first that is on says. */
  flags?: { [key: string]: Scalar };
  /** Values that mean "not set". */
  unset?: Scalar[];
  /** An option of what starts the trainer, such as accelerate's `mixed_precision`. */
  launcher?: string;
  /** How the column is filled where all of this found nothing; defaults are the outer rule's. */
  or?: ColumnRule;
  /** The trainer's own default; the answer marks it as such. */
  default?: Scalar;
  /** The column whose value is the default of this one. */
  default_of?: TrainerField;
  /** Defaults that depend on other settings; the first that holds goes before `default`. */
  defaults?: { where: Condition[]; value: Scalar }[];
  /** Where this holds, the column stays empty: the trainer does not use the setting. */
  unless?: Condition[];
  /** Only what comes after the last one is meant: of `/` the name of a path, of `.` that of a class. */
  after?: "/" | ".";
  /** The column's path is one below the path in this column. */
  below?: TrainerField;
  /** The text names a base model or an architecture: the catalogue's name for it is taken. */
  arch?: boolean;
};

/** What the console and the files of a run look like; the client alone reads these. */
type ConsoleRules = {
  /** Lines with `{step}`, `{total}`, `{loss}`, `{epoch}`, `{total_epochs}` or a series' name in braces; `{}` skips. */
  lines?: string[];
  /** The description of the progress bar that counts the steps. */
  bar?: string;
  /** The names of the loss in that bar, best first. */
  bar_loss?: string[];
  /** Texts of lines that say that the run came to its end, and that it was stopped or failed. */
  done?: string[];
  stopped?: string[];
};

export type FileRules = {
  /** Settings that name the folder of the weights, the first that is there; and the trainer's default. */
  output?: string[];
  default_output?: string;
  /** `checkpoint-N/` with an adapter and training state, the final pair above, also one folder further down. */
  layout?: "transformers";
  /** Paths below it: `{step}`, `{epoch}` are numbers, `{name}` the run's name, `{}` anything within a name. */
  final?: string[];
  checkpoints?: string[];
  samples?: string[];
  /** Whether the newest checkpoint of a complete run is its final weights. */
  last_is_final?: boolean;
  /** Settings that name the folder of TensorBoard's event files. */
  logs?: string[];
  /** JSON lines below the output folder, and the names of the step and of the loss in them. */
  metrics?: { file: string; step: string; loss: string[]; total?: string };
  /** Settings that name the training data, the separate file that lists them, and files that a repeat needs. */
  data?: string[];
  dataset_file?: string[];
  configs?: string[];
  /** Settings that name the run and the number of steps. */
  name?: string[];
  steps?: string[];
};

/**
 * A dialect that is a table: what a person may give in a file, and what the built-in dialects of this
 * form are. docs/dialects.md has the words and an example.
 */
export type Declaration = {
  /** The run's `trainer`. */
  name: string;
  recognise: {
    /** `swift sft` is a program and its sub-command, `pkg.train` a module, `dir/train.py` the end of a script's path. */
    commands?: string[];
    /** A file is of this dialect where all of `keys`, one of `any`, none of `none` and all of `where` hold. */
    keys?: string[];
    /** The file is a list, and all these are said of its first object; a column's key is then `[].KEY`. */
    list?: true;
    any?: string[];
    none?: string[];
    where?: Condition[];
    /** Packages of Python by which a script of any name is known; the client alone sees a script. */
    imports?: string[];
  };
  /** What a file is that is no LoRA run; the first that holds. */
  kinds?: { kind: "dataset" | "preset" | "full-fine-tune" | "unknown"; where: Condition[] }[];
  /** The section that the columns' keys start from. */
  within?: string;
  columns: { [C in TrainerField]?: ColumnRule };
  console?: ConsoleRules;
  files?: FileRules;
};
