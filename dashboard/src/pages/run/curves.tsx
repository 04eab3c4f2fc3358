import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import { isSystemMetric } from "../../../../src/shared/system-metrics.ts";
import { imagesPerStep } from "../../chart/axes.ts";
import { Chart } from "../../chart/chart.tsx";
import {
  firstNonfinite,
  linesOf,
  onAxis,
  type Spot,
  stepsWithin,
  withDetail,
} from "../../chart/curves.ts";
import { MetricGrid } from "../../chart/grid.tsx";
import { marksOf } from "../../chart/happened.ts";
import { LookTools, useOwnLook, WholeRun } from "../../chart/look.tsx";
import { CURVE_POINTS, curveQuery } from "../../chart/queries.ts";
import { duration, isUnstepped, measure, whole } from "../../format.ts";
import { currentLanguage, t } from "../../i18n.ts";
import type { Curve, Task } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { MetricChart } from "./metric-chart.tsx";
import { checkpointsQuery, samplesQuery } from "./queries.ts";

/** The run's curves: one large, as it is looked at, and all of them small. */
export function Curves({ task }: { task: Task }) {
  const images = imagesPerStep(task);
  const look = useOwnLook({ unstepped: isUnstepped(task.progress), images: images !== null });
  const { metric, axis, log, smoothing, all, zoom, set } = look;
  const entire = useQuery(curveQuery(task.id, metric, CURVE_POINTS));
  const curve = entire.data;
  // Detail is fetched by steps, those that the stretch of the axis in view goes over.
  const [from, to] = zoom ?? [];
  const steps = useMemo(
    () =>
      curve && from !== undefined && to !== undefined
        ? stepsWithin(curve.points, axis, [from, to], images)
        : null,
    [from, to, curve, axis, images],
  );
  const detail = useQuery({
    ...curveQuery(task.id, metric, CURVE_POINTS, steps),
    enabled: steps !== null,
  });
  const part = steps && !detail.isPlaceholderData ? detail.data : undefined;
  const shown = curve?.metric ?? metric;
  const spots = useMemo(() => {
    const entirely = curve ? onAxis(curve, axis, curve, images) : [];
    return part ? withDetail(entirely, onAxis(part, axis, curve, images)) : entirely;
  }, [curve, part, axis, images]);
  const language = currentLanguage();
  const isMarked = look.marks && !isUnstepped(task.progress);
  const checkpoints = useQuery({ ...checkpointsQuery(task.id), enabled: isMarked }).data;
  const samples = useQuery({ ...samplesQuery(task.id), enabled: isMarked }).data;
  const marks = useMemo(
    () =>
      isMarked
        ? marksOf(
            {
              attempts: task.attempts,
              checkpoints: checkpoints?.filter(({ state }) => state === "complete") ?? [],
              samples: samples ?? [],
            },
            spots,
            axis,
          )
        : [],
    [isMarked, task.attempts, checkpoints, samples, spots, axis, language],
  );
  const lines = useMemo(
    () =>
      linesOf(spots, axis, smoothing, {
        label: shown,
        smoothed: t("{metric}, smoothed", { metric: shown }),
        colour: 1,
      }),
    [spots, axis, smoothing, shown, language],
  );
  const bad = useMemo(
    () => (curve ? nonfiniteText(curve, task, metric === "loss") : null),
    [curve, task, metric, language],
  );
  // Figures of the machine are on the page System.
  const metrics = (curve?.metrics ?? []).filter((name) => !isSystemMetric(name));

  if (curve && metrics.length === 0)
    return (
      <section class="panel">
        <Empty icon="runs" title={t("No curve yet")}>
          <p>
            {task.status === "pending"
              ? t("The first report of its box draws the first points.")
              : t("This run reported no metrics.")}
          </p>
        </Empty>
      </section>
    );
  return (
    <>
      <section class="panel curves" aria-label={t("Curves")}>
        <header class="wrap">
          <LookTools
            look={look}
            metrics={metrics.includes(metric) ? metrics : [metric, ...metrics]}
            images={images !== null}
            marks
          />
          <span class="grow" />
          {zoom && <WholeRun clear={() => set({ zoom: null })} />}
          <span class="faint">
            {curve && t("{n} points", { n: whole((part ?? curve).total) })}
            {curve?.ends_early && !part && ` · ${t("The curve continues: choose a later stretch")}`}
          </span>
        </header>
        <div class="body">
          <Loaded query={entire} lines={8}>
            {() => (
              <Chart
                lines={lines}
                axis={axis}
                log={log}
                all={all}
                height={300}
                title={shown}
                file={`run-${task.id}-${shown}`}
                marks={marks}
                summary={summaryOf(shown, spots, bad)}
                range={zoom}
                zoomed={(range) => set({ zoom: range })}
              />
            )}
          </Loaded>
          {bad && (
            <p class="curve-bad">
              <Icon name="warn" />
              {bad}
            </p>
          )}
        </div>
      </section>
      {metrics.length > 1 && (
        <MetricGrid
          metrics={metrics}
          enlarge={(name) => set({ metric: name })}
          draw={(name) => (
            <MetricChart id={task.id} metric={name} look={look} images={images} marks={marks} />
          )}
        />
      )}
    </>
  );
}

/** Where a curve was NaN or infinite for the first time, in words; null where it never was. */
function nonfiniteText(curve: Curve, task: Task, isLoss: boolean): string | null {
  // Nobody knows the steps of such a run: its points have their times alone.
  if (isUnstepped(task.progress)) {
    const first = onAxis(curve, "time").find(({ nonfinite }) => nonfinite > 0);
    return first ? t("NaN or infinite after {time}", { time: duration(first.x) }) : null;
  }
  const steps = firstNonfinite(onAxis(curve, "step"));
  if (!steps) return null;
  const [first, last] = steps;
  // Of the loss the run itself has the step.
  const exact = isLoss ? task.nonfinite_from_step : null;
  const step = first === last ? first : exact && exact >= first && exact <= last ? exact : null;
  return step === null
    ? t("NaN or infinite from a step between {first} and {last}", {
        first: whole(first),
        last: whole(last),
      })
    : t("NaN or infinite from step {step}", { step: whole(step) });
}

/** The curve's figures as words. */
function summaryOf(metric: string, spots: Spot[], bad: string | null): string {
  const finite = spots.filter(({ y }) => y !== null);
  const lows = finite.flatMap(({ low }) => (low === null ? [] : [low]));
  const figures = finite.length
    ? t("{metric}: {n} points, lowest {low}, last value {last}", {
        metric,
        n: whole(finite.length),
        low: measure(lows.reduce((lowest, low) => Math.min(lowest, low), Number.POSITIVE_INFINITY)),
        last: measure(finite.at(-1)?.y),
      })
    : t("No points yet");
  return bad ? `${figures}. ${bad}` : figures;
}
