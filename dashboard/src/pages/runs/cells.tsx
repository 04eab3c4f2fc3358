import { deltaText, duration, measure, progressOf, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { ChosenRun } from "../../queries.ts";
import type { Row, Sparkline } from "../../types.ts";
import { Ago, Meter, Spark } from "../../ui/figure.tsx";
import { NanBadge, statusText } from "../../ui/status.tsx";
import { type Column, textOf } from "./columns.ts";

/** The progress of a run, and the time left. */
export function Progress({ row }: { row: Row }) {
  const progress = progressOf(row);
  if (!progress || (row.status !== "running" && progress.share >= 1)) return null;
  const { share, step, total, left } = progress;
  const percent = `${Math.floor(share * 100)}%`;
  return (
    <span
      class="progress-cell"
      title={total && step !== null ? `${whole(step)} / ${whole(total)}` : undefined}
    >
      <Meter share={share} kind={row.status} label={t("Progress")} />
      <span>{total || share ? percent : step !== null && whole(step)}</span>
      {left !== null && <span class="faint">{duration(left)}</span>}
    </span>
  );
}

/** How far a running run is, beside its status. */
function Share({ row }: { row: Row }) {
  const progress = progressOf(row);
  if (!progress?.share) return null;
  const { share, left } = progress;
  return (
    <span
      class="faint"
      title={left === null ? undefined : t("{time} left", { time: duration(left) })}
    >
      {Math.floor(share * 100)}%
    </span>
  );
}

export function Cell(props: {
  column: Column;
  row: Row;
  value: unknown;
  spark?: Sparkline;
  /** The first step whose loss was NaN or infinite. */
  nonfinite: number | null;
}) {
  const { column, row, value, spark, nonfinite } = props;
  switch (column.kind) {
    case "status":
      return (
        <span class="row status-cell">
          <span class={`dot ${row.status}`} />
          {row.cancel_requested && row.status === "running"
            ? t("Stopping")
            : statusText(row.status, row.failure_reason)}
          {row.status === "running" && <Share row={row} />}
          {nonfinite !== null && <NanBadge status={row.status} step={nonfinite} brief />}
        </span>
      );
    case "progress":
      return <Progress row={row} />;
    case "curve":
      return spark ? (
        <span class="row">
          <Spark
            points={spark.points}
            width={column.width - (row.status === "running" ? 76 : 24)}
            height={20}
          />
          {row.status === "running" && (
            <span class="faint spark-last" title={t("Last value")}>
              {measure(spark.last)}
            </span>
          )}
        </span>
      ) : null;
    case "ago":
      return <Ago at={typeof value === "string" ? value : null} />;
    default:
      return <>{textOf(column.kind, value)}</>;
  }
}

export const alignedRight = ({ kind }: Column) =>
  ["setting", "step", "measure", "duration", "money"].includes(kind);

/** Whether a column shows differences to the baseline. */
export const hasDelta = ({ name }: Pick<Column, "name">) =>
  name === "final_loss" || name === "best_loss";

/** What a value is above the baseline's; nothing where one of the two is not known. */
export function Delta(props: { column: Column; value: unknown; baseline: ChosenRun }) {
  const { column, value, baseline } = props;
  if (!hasDelta(column)) return null;
  const base = column.name === "final_loss" ? baseline.final_loss : baseline.best_loss;
  const text = deltaText(typeof value === "number" ? value : null, base);
  return text ? (
    <span class="delta" title={t("difference to the baseline")}>
      {text}
    </span>
  ) : null;
}
