import { splitAtCommas } from "../../../../src/shared/setting-path.ts";
import { currentLanguage, type Text, t } from "../../i18n.ts";

/** How a column's values are written. */
type Kind =
  | "text"
  | "setting"
  | "measure"
  | "ago"
  | "duration"
  | "money"
  | "progress"
  | "curve"
  | "status";
export type Column = { name: string; label: string; kind: Kind; width: number };

type Known = { label: Text; kind: Kind; width: number };

/** Columns with a name people know; any other field of the filter language can be one too. */
const known: Record<string, Known> = {
  id: { label: "No.", kind: "setting", width: 64 },
  status: { label: "Status", kind: "status", width: 132 },
  progress: { label: "Progress", kind: "progress", width: 168 },
  curve: { label: "Loss curve", kind: "curve", width: 128 },
  final_loss: { label: "Final loss", kind: "measure", width: 92 },
  lora_rank: { label: "Rank", kind: "setting", width: 64 },
  lora_alpha: { label: "Alpha", kind: "setting", width: 68 },
  learning_rate: { label: "Learning rate", kind: "setting", width: 108 },
  optimizer: { label: "Optimizer", kind: "text", width: 112 },
  scheduler: { label: "Scheduler", kind: "text", width: 112 },
  batch_size: { label: "Batch", kind: "setting", width: 68 },
  epochs: { label: "Epochs", kind: "setting", width: 72 },
  max_steps: { label: "Steps", kind: "setting", width: 80 },
  base_arch: { label: "Architecture", kind: "text", width: 100 },
  trainer: { label: "Trainer", kind: "text", width: 110 },
  network_algo: { label: "Algorithm", kind: "text", width: 92 },
  base_model_path: { label: "Base model", kind: "text", width: 220 },
  mixed_precision: { label: "Precision", kind: "text", width: 88 },
  resolution: { label: "Resolution", kind: "text", width: 96 },
  seed: { label: "Seed", kind: "setting", width: 80 },
  experiment_group: { label: "Group", kind: "text", width: 128 },
  user: { label: "User", kind: "text", width: 100 },
  created_at: { label: "Created", kind: "ago", width: 104 },
  started_at: { label: "Started", kind: "ago", width: 104 },
  finished_at: { label: "Finished", kind: "ago", width: 104 },
  total_duration_sec: { label: "Duration", kind: "duration", width: 92 },
  convergence_step: { label: "Converged at", kind: "setting", width: 104 },
  cost: { label: "Cost", kind: "money", width: 80 },
  gpu_info: { label: "GPU", kind: "text", width: 170 },
  failure_reason: { label: "Reason", kind: "text", width: 100 },
  error_message: { label: "Error", kind: "text", width: 260 },
  notes: { label: "Notes", kind: "text", width: 220 },
};

export const knownColumns = Object.keys(known);
export const defaultColumns =
  "status,progress,curve,final_loss,lora_rank,learning_rate,optimizer,experiment_group,user,created_at";
/** What is drawn from the row itself, and asked of the server by no field. */
const drawn = new Set(["status", "progress", "curve"]);

export const columnLabel = (name: string) => {
  const column = known[name];
  return column ? t(column.label) : name;
};

/** The columns that an address names: `final_loss,lora_rank:80,config.network_dim`. */
export function readColumns(text: string): Column[] {
  return splitAtCommas(text)
    .filter((part) => part !== "")
    .map((part) => {
      const [, name = part, wide] = part.match(/^(.*?)(?::(\d+))?$/) ?? [];
      const column = known[name];
      const width = Math.min(800, Math.max(48, Number(wide) || (column?.width ?? 130)));
      const kind = column?.kind ?? (name.startsWith("metrics.") ? "measure" : "text");
      return { name, label: columnLabel(name), kind, width };
    });
}

export const writeColumns = (columns: Column[]) =>
  columns
    .map(({ name, width }) => (width === (known[name]?.width ?? 130) ? name : `${name}:${width}`))
    .join(",");

/** The fields to ask the server for, and where each column finds its value in a row. */
export function fieldsOf(columns: Column[]) {
  const fields = columns.map(({ name }) => name).filter((name) => !drawn.has(name));
  return { fields, at: new Map(fields.map((name, n) => [name, n])) };
}

export const sortable = (column: Column) => !["progress", "curve"].includes(column.name);

/** Columns in the order of their labels, for the chooser. */
export const byLabel = (names: string[]) =>
  [...names].sort((a, b) => columnLabel(a).localeCompare(columnLabel(b), currentLanguage()));
