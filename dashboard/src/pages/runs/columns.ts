import {
  type RunField,
  type RunFieldName,
  runFieldList,
  runFields,
} from "../../../../src/shared/run-fields.ts";
import { splitAtCommas } from "../../../../src/shared/setting-path.ts";
import { duration, measure, money, setting, stepText } from "../../format.ts";
import { currentLanguage, type Text, t } from "../../i18n.ts";
import type { LossFigures } from "../../types.ts";

/** How a column's values are written. */
type Kind =
  | "text"
  | "setting"
  | "step"
  | "measure"
  | "ago"
  | "duration"
  | "money"
  | "progress"
  | "curve"
  | "status";
/** `head`: what the column's head says, where the label is longer than its values. */
export type Column = { name: string; label: string; head?: string; kind: Kind; width: number };

type Known = { label: Text; head?: Text; kind: Kind; width: number };

/** The first column: the run's name. It can be neither moved nor taken away. */
export const nameColumn = "task_name";
const NAME_WIDTH = 250;
const NARROWEST = 48;
const WIDEST = 800;
export const withinWidths = (width: number) =>
  Math.round(Math.min(WIDEST, Math.max(NARROWEST, width)));

/** Widths in pixels, where a column wants another than most. */
const widths: { [K in RunFieldName | keyof LossFigures]?: number } = {
  id: 64,
  status: 126,
  progress: 168,
  final_loss: 88,
  lora_rank: 64,
  lora_alpha: 68,
  learning_rate: 76,
  optimizer: 100,
  scheduler: 112,
  batch_size: 68,
  epochs: 72,
  max_steps: 80,
  trainer: 110,
  network_algo: 92,
  base_model_path: 220,
  mixed_precision: 88,
  resolution: 96,
  seed: 80,
  experiment_group: 128,
  created_at: 92,
  started_at: 104,
  finished_at: 104,
  total_duration_sec: 92,
  convergence_step: 116,
  best_loss: 88,
  best_step: 116,
  nonfinite_from_step: 124,
  cost: 72,
  gpu_info: 170,
  error_message: 260,
  notes: 220,
};

function kindOf(name: string, { type, unit, setting: isSetting }: RunField): Kind {
  if (name === "status" || name === "progress") return name;
  if (type === "time") return "ago";
  if (unit === "s") return "duration";
  if (unit === "money") return "money";
  if (unit === "steps" && !isSetting) return "step";
  if (type === "number" && !isSetting) return "measure";
  return type === "integer" || type === "number" ? "setting" : "text";
}

/** Columns with a name people know; any other field of the filter language can be one too. */
const known: Record<string, Known> = {
  curve: { label: "Loss curve", kind: "curve", width: 112 },
  user: { label: "User", kind: "text", width: 100 },
};
const heads: { [K in RunFieldName]?: Text } = {
  best_loss: "Best loss",
  learning_rate: "LR",
};
for (const [name] of runFieldList) {
  const field = runFields[name];
  if ("label" in field)
    known[name] = {
      label: field.label,
      head: heads[name],
      kind: kindOf(name, field),
      width: widths[name] ?? 100,
    };
}

/** Whether the service has a column; a service before it refuses its name. */
const isField = (name: string) => name in runFields;

/** Figures that runs are compared by. */
export const results = [
  "final_loss",
  "best_loss",
  "convergence_step",
  "total_duration_sec",
  "cost",
].filter(isField);

/** What rows are drawn with besides their columns: `final_loss` on a phone, the badge of a NaN. */
const drawnWith = ["final_loss", "nonfinite_from_step"].filter(isField);
/** Fields that the service answers at once. */
const MOST_FIELDS = 40;

/** A column's value as its kind is written. */
export function textOf(kind: Kind, value: unknown): string {
  if (typeof value !== "number") return setting(value);
  if (kind === "duration") return duration(value);
  if (kind === "money") return money(value);
  if (kind === "measure") return measure(value);
  return kind === "step" ? stepText(value) : setting(value);
}

/** The kind of a field that is no column. */
const kindOfField = (name: string): Kind =>
  !name.startsWith("metrics.") ? "text" : name.endsWith(".best_step") ? "step" : "measure";

/** The value of a column, or another field, as text. */
export const fieldText = (name: string, value: unknown): string =>
  textOf(known[name]?.kind ?? kindOfField(name), value);

export const knownColumns = Object.keys(known);
export const defaultColumns =
  "status,curve,final_loss,best_loss,lora_rank,learning_rate,optimizer,cost,created_at";
/** Columns that are drawn from the row itself, without a field of the server. */
const drawn = new Set(["status", "progress", "curve"]);

export const columnLabel = (name: string) => {
  const column = known[name];
  return column ? t(column.label) : name;
};

/** The columns that an address names: `final_loss,lora_rank:80,config.network_dim`. */
export function readColumns(text: string): Column[] {
  return partsOf(text)
    .filter(({ name }) => name !== nameColumn)
    .map(({ name, wide }) => {
      const column = known[name];
      const width = withinWidths(wide || (column?.width ?? 130));
      const kind = column?.kind ?? kindOfField(name);
      const head = column?.head && t(column.head);
      return { name, label: columnLabel(name), ...(head && { head }), kind, width };
    });
}

/** The width of the names that an address gives, as `task_name:360`. */
export const readNameWidth = (text: string) =>
  withinWidths(partsOf(text).find(({ name }) => name === nameColumn)?.wide || NAME_WIDTH);

const partsOf = (text: string) =>
  splitAtCommas(text)
    .filter((part) => part !== "")
    .map((part) => {
      const [, name = part, wide] = part.match(/^(.*?)(?::(\d+))?$/) ?? [];
      return { name, wide: Number(wide) };
    });

export const writeColumns = (columns: Column[], nameWidth = NAME_WIDTH) =>
  [
    ...(nameWidth === NAME_WIDTH ? [] : [`${nameColumn}:${nameWidth}`]),
    ...columns.map(({ name, width }) =>
      width === (known[name]?.width ?? 130) ? name : `${name}:${width}`,
    ),
  ].join(",");

/** The fields to ask the server for, and where each column finds its value in a row. */
export function fieldsOf(columns: Column[]) {
  const fields = columns.map(({ name }) => name).filter((name) => !drawn.has(name));
  return { fields, at: new Map(fields.map((name, n) => [name, n])) };
}

/** The fields to ask the server for: those of the columns, of the group, and what rows are drawn with. */
export const askedFields = (columns: Column[], group: string): string[] =>
  [...new Set([...fieldsOf(columns).fields, ...(group ? [group] : []), ...drawnWith])].slice(
    0,
    MOST_FIELDS,
  );

export const sortable = (column: Column) => !["progress", "curve"].includes(column.name);

/** Columns in the order of their labels, for the chooser. */
export const byLabel = (names: string[]) =>
  [...names].sort((a, b) => columnLabel(a).localeCompare(columnLabel(b), currentLanguage()));
