import { duration, measure, progressOf, setting } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Row, Sparkline } from "../../types.ts";
import { Ago, Meter, Spark } from "../../ui/figure.tsx";
import { statusText } from "../../ui/status.tsx";
import type { Column } from "./columns.ts";

/** The progress of a run, and the time left. */
export function Progress({ row }: { row: Row }) {
  const progress = progressOf(row);
  if (!progress || (row.status !== "running" && progress.share >= 1)) return null;
  const { share, step, total, left } = progress;
  const percent = `${Math.floor(share * 100)}%`;
  return (
    <span class="progress-cell" title={total ? `${step} / ${total}` : undefined}>
      <Meter share={share} kind={row.status} label={t("Progress")} />
      <span>{total || share ? percent : step}</span>
      {left !== null && <span class="faint">{duration(left)}</span>}
    </span>
  );
}

export function Cell(props: { column: Column; row: Row; value: unknown; spark?: Sparkline }) {
  const { column, row, value, spark } = props;
  switch (column.kind) {
    case "status":
      return (
        <span class="row status-cell">
          <span class={`dot ${row.status}`} />
          {row.cancel_requested && row.status === "running"
            ? t("Stopping")
            : statusText(row.status, row.failure_reason)}
        </span>
      );
    case "progress":
      return <Progress row={row} />;
    case "curve":
      return spark ? (
        <span class="row">
          <Spark points={spark.points} width={column.width - 62} height={20} />
          <span class="faint spark-last">{measure(spark.last)}</span>
        </span>
      ) : null;
    case "ago":
      return <Ago at={typeof value === "string" ? value : null} />;
    case "duration":
      return <>{duration(typeof value === "number" ? value : null)}</>;
    case "money":
      return <>{typeof value === "number" ? value.toFixed(2) : ""}</>;
    case "measure":
      return <>{typeof value === "number" ? measure(value) : setting(value)}</>;
    default:
      return <>{setting(value)}</>;
  }
}

export const alignedRight = ({ kind }: Column) =>
  ["setting", "measure", "duration", "money"].includes(kind);
