import { dateTime, duration, whole } from "../format.ts";
import { currentLanguage, type Text, t } from "../i18n.ts";
import type { Task } from "../types.ts";
import type { CurvePlace, XAxis } from "./curves.ts";

const day = 86_400;

/** A moment in seconds as a mark of an axis that shows a span of so many seconds. */
function moment(seconds: number, span: number): string {
  const options: Intl.DateTimeFormatOptions =
    span > 3 * day
      ? { month: "short", day: "numeric" }
      : span > day
        ? { day: "numeric", hour: "2-digit", minute: "2-digit" }
        : { hour: "2-digit", minute: "2-digit", ...(span < 600 && { second: "2-digit" }) };
  return new Intl.DateTimeFormat(currentLanguage(), options).format(seconds * 1000);
}

/** A place as a mark of an axis; `span` is the length in view. */
export function markText(axis: XAxis, x: number, span: number): string {
  if (axis === "epoch") return String(Math.round(x * 100) / 100);
  if (axis === "time") return duration(x);
  if (axis === "clock") return moment(x, span);
  return whole(x);
}

/** A place of an axis in a sentence. */
export function placeText(axis: XAxis, x: number): string {
  switch (axis) {
    case "step":
      return t("step {step}", { step: whole(x) });
    case "epoch":
      return t("epoch {n}", { n: markText(axis, x, 0) });
    case "images":
      return t("{n} images", { n: whole(x) });
    case "time":
      return t("after {time}", { time: duration(x) });
    case "clock":
      return dateTime(new Date(x * 1000).toISOString());
  }
}

/** The label of each axis on its button. */
export const axisNames: Record<XAxis, Text> = {
  step: "Step",
  epoch: "Epoch",
  images: "Images",
  time: "Time",
  clock: "Clock",
};

const titles: Record<XAxis, Text> = {
  step: "Step",
  epoch: "Epoch",
  images: "Images seen",
  time: "Time since the first point",
  clock: "Wall clock ({zone})",
};

/** The title of an axis, with its unit. */
export function axisTitle(axis: XAxis): string {
  const { timeZone } = new Intl.DateTimeFormat().resolvedOptions();
  return t(titles[axis], { zone: timeZone });
}

const units: [RegExp, string][] = [
  [/(?:^|[/_.-])(?:util|percent|pct)$/i, "%"],
  [/[/_.-](?:mem_)?mb$/i, "MB"],
  [/[/_.-]gb$/i, "GB"],
  [/[/_.-](?:mb_s|mbps)$/i, "MB/s"],
  [/[/_.-]temp_c$|[/_.-]celsius$/i, "°C"],
  [/[/_.-](?:power_w|watts?)$/i, "W"],
  // Not the rates `it/s` and `tokens_per_sec`.
  [/(?<!(?:^|[/_.-])per)[_.-](?:seconds|sec|s)$/i, "s"],
  [/[/_.-]ms$/i, "ms"],
];

/** The unit that a metric's name tells; empty where it tells none. */
const unitOf = (metric: string): string => units.find(([ending]) => ending.test(metric))?.[1] ?? "";

/** A metric as the title of the axis of its values. */
export function valueTitle(metric: string): string {
  const unit = unitOf(metric);
  return unit ? `${metric} (${unit})` : metric;
}

/**
 * Images that a step of a run trains on: batch size × gradient accumulation, where the ledger counts the images
 * of this run; OneTrainer counts each batch as a step. Null where that is not known.
 */
export function imagesPerStep(
  task: Pick<Task, "batch_size" | "gradient_accumulation_steps" | "images_seen" | "trainer">,
): number | null {
  const { batch_size: batch, gradient_accumulation_steps: gathered } = task;
  if (task.images_seen === null || batch === null) return null;
  return task.trainer === "onetrainer" ? batch : gathered && batch * gathered;
}

/**
 * The place of a step on an axis, on the straight line between the points of a curve around it. Null where
 * the axis tells nothing of it, and beyond the curve's ends.
 */
export function placeOfStep(curve: CurvePlace[], step: number): number | null {
  const after = curve.findIndex((place) => place.step >= step);
  const [before, next] = [curve[after - 1], curve[after]];
  if (!next) return null;
  if (next.step === step || !before) return next.firstStep <= step ? next.x : null;
  return before.x + ((next.x - before.x) * (step - before.step)) / (next.step - before.step);
}
