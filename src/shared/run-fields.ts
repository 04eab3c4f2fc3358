/**
 * The catalogue of a run's columns: each column of `training_task` that people see, once. The database's
 * columns and CHECKs, the filter, registrations, imports, answers, exports, comparisons, the trainers'
 * readers, the pages and the client (client/…/run_fields.py) take their facts from these lines, or a test
 * holds them equal. docs/architecture.md says how to add a column.
 */
import type { JsonValue } from "./json.ts";

export const modelTypes = ["stable-diffusion", "llm"] as const;
export const precisions = ["fp16", "bf16", "no"] as const;
export const statuses = ["pending", "running", "success", "failed", "cancelled"] as const;
export const failureReasons = ["error", "oom", "lost", "preempted"] as const;

const MOST_RANK = 65_536;

export type RunField = {
  type: "integer" | "number" | "text" | "time" | "boolean" | "json";
  /** The only texts it may be. */
  values?: readonly string[];
  /** What a person may state: the lowest and highest number, and the most UTF-16 units of a text. */
  min?: number;
  max?: number;
  longest?: number;
  unit?: "s" | "steps" | "epochs" | "images" | "money" | "money per hour" | "GB";
  /**
   * Who writes it: `trainer` is the client, else the trainer's own file or command; `server` refuses a
   * registration that names it; `import` is the server too, and an import states it of a run of the past;
   * `other` comes with other parts of a request, so that a registration's field of that name is none.
   */
  by: "trainer" | "client" | "server" | "import" | "other";
  /** Never null. */
  always?: true;
  /** How filters and orders reach it, where it is not by its name: by a path into it, or not at all. */
  filter?: "path" | false;
  /** Comparisons of runs go through it: what the run trains with, or what is around that. */
  setting?: "training" | "surroundings";
  /** What else settles it: the shape of the adapter, or a separate file that lists the data. */
  of?: "adapter" | "data";
  /** Each run's own by nature: versions of a model are not compared by it. */
  own?: true;
  /** Its English name on the pages; zh.ts has the Chinese. */
  label?: string;
  /** A sentence for the API's description. */
  about?: string;
};

// biome-ignore format: a line is a column.
export const runFields = {
  id: { type: "integer", by: "server", always: true, own: true, label: "No." },
  user_id: { type: "integer", by: "server", always: true, own: true },
  task_name: { type: "text", longest: 300, by: "trainer", always: true, own: true },
  status: { type: "text", values: statuses, by: "import", always: true, label: "Status" },
  attempt: { type: "integer", min: 0, by: "server", always: true, own: true },
  version: { type: "integer", by: "server", always: true, own: true },
  created_at: { type: "time", by: "import", always: true, own: true, label: "Created" },
  updated_at: { type: "time", by: "server", always: true, own: true },
  started_at: { type: "time", by: "import", own: true, label: "Started" },
  finished_at: { type: "time", by: "import", own: true, label: "Finished" },
  heartbeat_at: { type: "time", by: "server", own: true },
  deleted_at: { type: "time", by: "server", own: true },

  model_type: { type: "text", values: modelTypes, by: "trainer", setting: "training" },
  base_arch: { type: "text", longest: 100, by: "trainer", setting: "training", label: "Architecture" },
  trainer: { type: "text", longest: 100, by: "client", setting: "training", label: "Trainer" },
  network_algo: { type: "text", longest: 100, by: "trainer", setting: "training", of: "adapter", label: "Algorithm" },
  experiment_group: { type: "text", longest: 200, by: "trainer", setting: "surroundings", label: "Group" },
  base_model_path: { type: "text", longest: 2000, by: "trainer", setting: "training", label: "Base model" },
  lora_rank: { type: "integer", min: 1, max: MOST_RANK, by: "trainer", setting: "training", of: "adapter", label: "Rank" },
  lora_alpha: { type: "number", by: "trainer", setting: "training", of: "adapter", label: "Alpha" },
  dropout: { type: "number", min: 0, max: 1, by: "trainer", setting: "training", of: "adapter" },
  conv_lora_rank: { type: "integer", min: 0, max: MOST_RANK, by: "trainer", setting: "training", of: "adapter" },
  conv_alpha: { type: "number", by: "trainer", setting: "training", of: "adapter" },
  batch_size: { type: "integer", min: 1, unit: "images", by: "trainer", setting: "training", of: "data", label: "Batch" },
  gradient_accumulation_steps: { type: "integer", min: 1, by: "trainer", setting: "training" },
  epochs: { type: "number", min: 0, unit: "epochs", by: "trainer", setting: "training", label: "Epochs" },
  max_steps: { type: "integer", min: 0, unit: "steps", by: "trainer", setting: "training", label: "Steps" },
  learning_rate: { type: "number", min: 0, by: "trainer", setting: "training", label: "Learning rate" },
  optimizer: { type: "text", longest: 200, by: "trainer", setting: "training", label: "Optimizer" },
  scheduler: { type: "text", longest: 200, by: "trainer", setting: "training", label: "Scheduler" },
  mixed_precision: { type: "text", values: precisions, by: "trainer", setting: "training", label: "Precision" },
  seed: { type: "integer", by: "trainer", setting: "training", label: "Seed" },
  resolution: { type: "text", longest: 200, by: "trainer", setting: "training", of: "data", label: "Resolution" },
  data_dir: { type: "text", longest: 2000, by: "trainer", setting: "training", of: "data" },
  metadata_path: { type: "text", longest: 2000, by: "trainer", setting: "training", of: "data" },
  output_dir: { type: "text", longest: 2000, by: "trainer", setting: "training", own: true },
  log_dir: { type: "text", longest: 2000, by: "trainer", setting: "training", own: true },
  sample_prompts: { type: "text", longest: 20_000, by: "trainer", setting: "training" },
  save_every_n_epochs: { type: "integer", min: 0, unit: "epochs", by: "trainer", setting: "training" },
  caption_tag_delim: { type: "text", longest: 50, by: "trainer", setting: "training", of: "data" },

  gpu_info: { type: "text", longest: 500, by: "client", setting: "surroundings", label: "GPU" },
  node_info: { type: "json", by: "client", filter: "path", own: true },
  cuda_version: { type: "text", longest: 100, by: "client", setting: "surroundings" },
  git_commit: { type: "text", longest: 200, by: "client", setting: "surroundings" },
  hourly_price: { type: "number", min: 0, max: 1_000_000, unit: "money per hour", by: "client", about: "Price of the box, per hour." },
  command: { type: "json", by: "client", filter: false, own: true, about: "The trainer's command line as a list of words." },
  tags: { type: "json", by: "client", filter: "path" },

  guard: { type: "json", by: "client", filter: "path", label: "Guard", about: "When the client ends the run by itself; null: never." },

  cost: { type: "number", min: 0, unit: "money", by: "import", label: "Cost" },
  final_loss: { type: "number", by: "import", label: "Final loss" },
  best_loss: { type: "number", by: "server", label: "Best smoothed loss", about: "The lowest smoothed loss: the mean over a twentieth of the run's steps." },
  best_step: { type: "integer", min: 0, unit: "steps", by: "server", label: "Best step", about: "The step at which the smoothed loss was lowest." },
  convergence_step: { type: "integer", min: 0, unit: "steps", by: "import", label: "Converged at", about: "The first step whose smoothed loss is within 5 % of the last smoothed loss; null of a run that failed, diverged or holds NaN." },
  nonfinite_from_step: { type: "integer", min: 0, unit: "steps", by: "server", label: "NaN from step", about: "The first step whose loss was NaN or infinite; null where none was seen." },
  images_seen: { type: "number", unit: "images", by: "server", label: "Images seen", about: "Images that each process has trained on so far: steps reached × batch_size × gradient_accumulation_steps, of an image model." },
  total_duration_sec: { type: "number", min: 0, unit: "s", by: "import", label: "Duration" },
  exit_code: { type: "integer", by: "import" },
  failure_reason: { type: "text", values: failureReasons, by: "import", label: "Reason" },
  error_message: { type: "text", longest: 20_000, by: "import", own: true, label: "Error" },
  weights_path: { type: "text", longest: 2000, by: "import", own: true },
  import_source: { type: "text", longest: 500, by: "server", own: true },
  notes: { type: "text", longest: 50_000, by: "client", own: true, label: "Notes" },
  parent_task_id: { type: "integer", min: 1, by: "client" },

  cancel_requested: { type: "boolean", by: "server", always: true, own: true },
  priority: { type: "integer", by: "other", filter: false, about: "With the next four: of a queued task; null of others." },
  labels: { type: "json", by: "other", filter: false },
  min_gpu_memory_gb: { type: "integer", unit: "GB", by: "other", filter: false },
  max_attempts: { type: "integer", by: "other", filter: false },
  // A time that exports give as a text.
  not_before: { type: "text", by: "other", filter: false },
  agent: { type: "text", by: "other", filter: false, about: "The slot of a box that pulled it last." },
  progress: { type: "json", by: "import", filter: "path", own: true, label: "Progress" },
  additional_args: { type: "json", by: "other", filter: "path", own: true },
  defaulted_fields: { type: "json", by: "import", filter: false, own: true, about: "Columns that hold the trainer's default because its file is silent." },
} as const satisfies Record<string, RunField>;

type Fields = typeof runFields;
export type RunFieldName = keyof Fields;
/** The columns that a trainer's file or command can fill. */
export type TrainerField = {
  [K in RunFieldName]: Fields[K]["by"] extends "trainer" ? K : never;
}[RunFieldName];
/** The columns that a registration may write. */
export type WritableField = {
  [K in RunFieldName]: Fields[K]["by"] extends "trainer" | "client" ? K : never;
}[RunFieldName];
/** What a column holds where it is not null. */
export type ValueOf<K extends RunFieldName> = Fields[K] extends {
  values: readonly (infer Value)[];
}
  ? Value
  : Fields[K]["type"] extends "integer" | "number"
    ? number
    : Fields[K]["type"] extends "boolean"
      ? boolean
      : Fields[K]["type"] extends "json"
        ? JsonValue
        : string;
/** The same as answers give it. */
export type AnswerOf<K extends RunFieldName> = Fields[K] extends { always: true }
  ? ValueOf<K>
  : ValueOf<K> | null;

/** Every line, in the catalogue's order. */
export const runFieldList = Object.entries(runFields) as [RunFieldName, RunField][];
/** The caller's condition is what makes a name one of `Name`. */
const namesOf = <Name extends RunFieldName = RunFieldName>(isOne: (field: RunField) => boolean) =>
  runFieldList.filter(([, field]) => isOne(field)).map(([name]) => name) as Name[];

export const writableNames = namesOf<WritableField>(
  ({ by }) => by === "trainer" || by === "client",
);
/** What is kept by the server: naming one in a registration is refused, never ignored. */
export const keptByServer = namesOf(({ by }) => by === "server" || by === "import");
/** Settings of training, as pages list them; and with what is around them, as comparisons take them. */
export const trainingSettings = namesOf(({ setting }) => setting === "training");
export const comparedSettings = namesOf(({ setting }) => setting !== undefined);
/** What the adapter's shape settles, and what a file that lists the data does. */
export const adapterFields = namesOf<TrainerField>(({ of }) => of === "adapter");
export const dataFields = namesOf<TrainerField>(({ of }) => of === "data");
/** What versions of a model are not compared by. */
export const ownFields = namesOf(({ own }) => own === true);
/** Texts too long for a cell of a table. */
export const longTexts = namesOf(({ longest = 0 }) => longest > 2000);
/** Documents that filters reach into by a path, and what they name alone, by what it holds. */
export const pathFields = namesOf(({ filter }) => filter === "path");
export const filterFields = (["number", "text", "time", "boolean"] as const).flatMap((kind) =>
  namesOf(
    ({ type, filter }) => filter === undefined && (type === "integer" ? "number" : type) === kind,
  ).map((name) => [name, kind] as const),
);
