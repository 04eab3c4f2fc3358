import { currentLanguage, t } from "./i18n.ts";
import type { Task } from "./types.ts";

const formats = new Map<string, Intl.NumberFormat>();
function format(options: Intl.NumberFormatOptions) {
  const name = currentLanguage() + JSON.stringify(options);
  const known = formats.get(name) ?? new Intl.NumberFormat(currentLanguage(), options);
  formats.set(name, known);
  return known;
}

export const whole = (n: number) => format({ maximumFractionDigits: 0 }).format(n);

/** A measured value: four significant digits, as people read a loss. */
export function measure(value: number | string | null | undefined): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e15 || size < 1e-3) return value.toExponential(2);
  if (size >= 1000) return format({ maximumFractionDigits: 1 }).format(value);
  return format({ minimumSignificantDigits: 4, maximumSignificantDigits: 4 }).format(value);
}

/** What a value is above another, with its sign; empty where one of the two is not known. */
export function deltaText(
  value: number | null | undefined,
  base: number | null | undefined,
  write: (n: number) => string = measure,
): string {
  if (typeof value !== "number" || typeof base !== "number") return "";
  const delta = value - base;
  if (!Number.isFinite(delta)) return "";
  return delta === 0 ? "±0" : `${delta > 0 ? "+" : "−"}${write(Math.abs(delta))}`;
}

/** A number of a scale, as short as it can be. */
export const short = (value: number) =>
  value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e6)
    ? value.toExponential(1).replace(".0e", "e")
    : format({ maximumSignificantDigits: 4 }).format(value);

/** A number without the noise of its arithmetic, to 12 significant digits: 3 * 2e-5 is 6e-5. Integers stay. */
export const rounded = (value: number) =>
  Number.isInteger(value) ? value : Number(value.toPrecision(12));

/** A setting as its file has it: 1e-4 rather than 0.0001. */
export function setting(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") {
    const shown = rounded(value);
    const size = Math.abs(shown);
    return size !== 0 && (size < 1e-3 || size >= 1e9)
      ? shown.toExponential().replace("e+", "e")
      : String(shown);
  }
  if (typeof value === "string") return value;
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "number" ? rounded(part) : part,
  );
}

/** A step in words; empty where there is none. */
export const stepText = (step: unknown) =>
  typeof step === "number" ? t("step {step}", { step: whole(step) }) : "";

/** The lowest smoothed loss and its step; empty where it is not known. */
export function bestText(run: { best_loss?: number | null; best_step?: number | null }): string {
  const at = stepText(run.best_step);
  return measure(run.best_loss) + (at && ` · ${at}`);
}

/** Where a run's column was read from, in words; empty where whoever registered the run stated it. */
export function sourceOf(task: Pick<Task, "field_sources">, column: string): string {
  const origin = task.field_sources[column];
  if (!origin) return "";
  if (origin.from === "file") return t("file: {name}", { name: origin.key });
  if (origin.from === "argument") return t("argument: {name}", { name: origin.name });
  if (origin.from === "launcher") return t("launcher: {name}", { name: origin.name });
  return t("default");
}

let currency: string | null = null;
/** Sets the currency of all prices, as an ISO 4217 code; null: prices come without one. */
export const setCurrency = (code: string | null) => {
  currency = code;
};

/** Money, in the ledger's currency. */
export function money(n: number): string {
  const { format: write } = currency
    ? format({ style: "currency", currency })
    : format({ minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return n > 0 && n < 0.01 ? `< ${write(0.01)}` : write(n);
}

export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let size = n;
  while (size >= 1000 && at < units.length - 1) {
    size /= 1000;
    at++;
  }
  return `${format({ maximumFractionDigits: size < 10 && at > 0 ? 1 : 0 }).format(size)} ${units[at]}`;
}

/** A span of time: 3h 12m, 45s. */
export function duration(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "";
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s}s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m}m ${String(s % 60).padStart(2, "0")}s`;
  const h = Math.floor(m / 60);
  if (h < 48) return `${h}h ${String(m % 60).padStart(2, "0")}m`;
  return `${Math.floor(h / 24)}d ${h % 24}h`;
}

const steps: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
];

/** How long ago, in words. */
export function ago(iso: string, now = Date.now()): string {
  const seconds = (now - Date.parse(iso)) / 1000;
  if (seconds < 45 && seconds > -45) return t("just now");
  if (seconds > 14 * 86_400) return dateOnly(iso);
  const relative = new Intl.RelativeTimeFormat(currentLanguage(), {
    style: "narrow",
    numeric: "auto",
  });
  const [unit, size] = steps.find(([, length]) => Math.abs(seconds) >= length) ?? ["minute", 60];
  return relative.format(-Math.round(seconds / size) || -1, unit);
}

/** The day of a moment where the reader is; a bare day, such as 2026-05-31, is itself everywhere. */
export const dateOnly = (iso: string) =>
  new Intl.DateTimeFormat(currentLanguage(), {
    dateStyle: "medium",
    ...(iso.length === "2026-05-31".length && { timeZone: "UTC" }),
  }).format(new Date(iso));
export const dateTime = (iso: string) =>
  new Intl.DateTimeFormat(currentLanguage(), { dateStyle: "medium", timeStyle: "medium" }).format(
    new Date(iso),
  );

/** A plain value of a document of any shape, as text; "" where it has none under that name. */
export function textAt(document: unknown, name: string): string {
  const value: unknown =
    typeof document === "object" && document !== null ? Reflect.get(document, name) : undefined;
  return typeof value === "string" || typeof value === "number" ? setting(value) : "";
}

/** Whether nobody knows a run's steps, by its progress: its points have their times alone. */
export const isUnstepped = (progress: unknown): boolean =>
  typeof progress === "object" && progress !== null && Reflect.get(progress, "unstepped") === true;

/** Progress of a run: its share from 0 to 1 and the seconds left, as far as they are known. */
export function progressOf(run: {
  status: string;
  progress: unknown;
  started_at: string | null;
  heartbeat_at?: string | null;
}): { share: number; step: number | null; total: number | null; left: number | null } | null {
  const numberAt = (name: string) => {
    const value: unknown =
      typeof run.progress === "object" && run.progress !== null
        ? Reflect.get(run.progress, name)
        : null;
    return typeof value === "number" ? value : null;
  };
  const step = numberAt("step");
  const total = numberAt("total_steps");
  const epoch = numberAt("epoch");
  const epochs = numberAt("total_epochs");
  const share =
    step !== null && total ? step / total : epoch !== null && epochs ? epoch / epochs : null;
  if (share === null) return step === null ? null : { share: 0, step, total, left: null };
  const at = run.heartbeat_at ? Date.parse(run.heartbeat_at) : Date.now();
  const spent = run.started_at ? (at - Date.parse(run.started_at)) / 1000 : 0;
  const guessed = share > 0.01 ? (spent / share) * (1 - share) : null;
  const left = run.status === "running" && share < 1 ? (numberAt("eta_sec") ?? guessed) : null;
  return { share: Math.min(1, share), step, total, left };
}
