import { whole } from "../format.ts";
import { t } from "../i18n.ts";
import type { Attempt, Weight } from "../types.ts";
import { placeOfStep } from "./axes.ts";
import type { Spot, XAxis } from "./curves.ts";
import type { Mark } from "./marks.ts";

/** The most marks of a kind that a chart draws: of more, each second, third, … */
const MOST = 200;

const thinned = <T>(list: T[]): T[] => {
  const each = Math.ceil(list.length / MOST);
  return list.filter((_, n) => n % each === 0);
};

/** The last step that a curve's points up to an epoch cover; null where they tell no epochs, or end before. */
function stepOfEpoch(spots: Spot[], epoch: number): number | null {
  const last = spots.findLast((spot) => typeof spot.epoch === "number");
  if (typeof last?.epoch !== "number" || last.epoch < epoch) return null;
  return (
    spots.findLast((spot) => typeof spot.epoch === "number" && spot.epoch <= epoch)?.step ?? null
  );
}

function placeOf(spots: Spot[], axis: XAxis, step: number | null, epoch: number | null) {
  if (axis === "epoch" && epoch !== null) return epoch;
  const at = step ?? (epoch === null ? null : stepOfEpoch(spots, epoch));
  if (at === null) return null;
  return axis === "step" ? at : placeOfStep(spots, at);
}

/**
 * What happened to a run along an axis of its curve: where each attempt but the first begins, and where files
 * were made. What has no place on the axis is left out.
 */
export function marksOf(
  run: {
    attempts: Pick<Attempt, "attempt" | "from_step" | "first_step">[];
    checkpoints: Pick<Weight, "filename" | "step" | "epoch">[];
    samples: Pick<Weight, "filename" | "step" | "epoch">[];
  },
  spots: Spot[],
  axis: XAxis,
): Mark[] {
  const attempts = run.attempts.flatMap(({ attempt: number, from_step, first_step }): Mark[] => {
    const step = from_step ?? first_step;
    if (number < 2 || step === null) return [];
    const x = placeOf(spots, axis, step, null);
    const text = t("Attempt {n} began at step {step}", { n: number, step: whole(step) });
    return x === null ? [] : [{ kind: "attempt", x, number, text }];
  });
  const made = (kind: "checkpoint" | "sample", files: typeof run.samples) =>
    thinned(
      files.flatMap(({ filename, step, epoch }): Mark[] => {
        const x = placeOf(spots, axis, step, epoch);
        const at =
          step !== null
            ? t("step {step}", { step: whole(step) })
            : t("epoch {n}", { n: epoch ?? "" });
        return x === null ? [] : [{ kind, x, text: `${filename}, ${at}` }];
      }),
    );
  return [...attempts, ...made("checkpoint", run.checkpoints), ...made("sample", run.samples)];
}
