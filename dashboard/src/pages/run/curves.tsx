import { useQuery } from "@tanstack/preact-query";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Chart, type Line } from "../../chart/chart.tsx";
import { onAxis, smooth, stepsWithin, type XAxis } from "../../chart/curves.ts";
import { LookTools, useLook } from "../../chart/look.tsx";
import { CURVE_POINTS, curveQuery } from "../../chart/queries.ts";
import { isUnstepped, measure, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";

/** Metrics drawn small below the loss, the most telling first. */
const small = /^(?:lr|learning_rate|grad_norm|.*\/lr|gpu\.\d+\.(?:util|mem_mb)|loss\/.*|eval.*)$/;

/** The run's curves: one large, as it is looked at, and the others small. */
export function Curves({ task }: { task: Task }) {
  const look = useLook(isUnstepped(task.progress) ? "time" : "step");
  const { metric, setMetric, axis, log, smoothing } = look;
  const [range, setRange] = useState<[number, number] | null>(null);
  const entire = useQuery(curveQuery(task.id, metric, CURVE_POINTS));
  const allPoints = entire.data?.points;
  // Detail is fetched by steps, those that the stretch of the axis in view goes over.
  const steps = useMemo(
    () => (range && allPoints ? stepsWithin(allPoints, axis, range) : null),
    [range, allPoints, axis],
  );
  const detail = useQuery({
    ...curveQuery(task.id, metric, CURVE_POINTS, steps),
    enabled: steps !== null,
  });
  const data = steps && detail.data ? detail.data : entire.data;
  const all = entire.data?.metrics ?? [];
  useEffect(() => setRange(null), [axis, metric]);
  const points = useMemo(
    () => (data ? onAxis(data.points, axis, allPoints) : []),
    [data, axis, allPoints],
  );
  const shown = entire.data?.metric ?? metric;
  const lines: Line[] =
    smoothing > 0
      ? [
          { label: shown, colour: 1, points, faint: true },
          {
            label: t("{metric}, smoothed", { metric: shown }),
            colour: 1,
            points: smooth(points, smoothing),
          },
        ]
      : [{ label: shown, colour: 1, points }];
  const numbers = points.flatMap(([, y]) => (y === null ? [] : [y]));
  const summary = numbers.length
    ? t("{metric}: {n} points, lowest {low}, last {last}", {
        metric: shown,
        n: numbers.length,
        low: measure(Math.min(...numbers)),
        last: measure(numbers.at(-1)),
      })
    : t("No points yet");
  const others = all.filter((name) => name !== shown && small.test(name)).slice(0, 8);

  if (entire.data && all.length === 0)
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
          <LookTools look={look} metrics={all.includes(metric) ? all : [metric, ...all]} />
          <span class="grow" />
          {range && (
            <button type="button" class="button small" onClick={() => setRange(null)}>
              <Icon name="zoom" />
              {t("Whole run")}
            </button>
          )}
          <span class="faint">{data && t("{n} points", { n: whole(data.total) })}</span>
        </header>
        <div class="body">
          <Loaded query={entire} lines={8}>
            {() => (
              <Chart
                lines={lines}
                axis={axis}
                log={log}
                height={300}
                summary={summary}
                range={range}
                zoomed={setRange}
              />
            )}
          </Loaded>
        </div>
      </section>
      {others.length > 0 && (
        <div class="small-curves">
          {others.map((name) => (
            <SmallCurve
              key={name}
              id={task.id}
              metric={name}
              axis={axis}
              choose={() => setMetric(name)}
            />
          ))}
        </div>
      )}
    </>
  );
}

function SmallCurve(props: { id: number; metric: string; axis: XAxis; choose: () => void }) {
  const { id, metric, axis } = props;
  const { data } = useQuery(curveQuery(id, metric, 300));
  const points = data ? onAxis(data.points, axis) : [];
  return (
    <section class="panel small-curve" aria-label={metric}>
      <button type="button" class="head-sort" title={t("Draw it large")} onClick={props.choose}>
        <span class="clip">{metric}</span>
        <Icon name="zoom" />
      </button>
      <Chart
        lines={[{ label: metric, colour: 6, points }]}
        axis={axis}
        log={false}
        height={110}
        summary={t("{n} points", { n: points.length })}
      />
    </section>
  );
}
