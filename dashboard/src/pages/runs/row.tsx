import type { JSX } from "preact";
import { memo } from "preact/compat";
import { Link } from "wouter-preact";
import type { LineStyle } from "../../chart/line-styles.ts";
import { Swatch } from "../../chart/swatch.tsx";
import { measure, setting } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { ChosenRun } from "../../queries.ts";
import type { Row, Sparkline } from "../../types.ts";
import { Ago, Spark } from "../../ui/figure.tsx";
import { NanBadge, statusText } from "../../ui/status.tsx";
import { alignedRight, Cell, Delta, Progress } from "./cells.tsx";
import type { Column } from "./columns.ts";
import { cutName } from "./names.ts";

/** Pixels that a letter of a name takes, and what stands beside the name in its cell. */
const LETTER_PX = 7.1;
const BESIDE_PX = 62;

/** What every form of a row is drawn from. */
type RowProps = {
  row: Row;
  index: number;
  at: Map<string, number>;
  spark: Sparkline | undefined;
  style: LineStyle | undefined;
  isChosen: boolean;
  isActive: boolean;
  place: JSX.CSSProperties;
  /** Selects a row, or with Shift all from the one that was selected last. */
  pick: (index: number, on: boolean, range: boolean) => void;
  press: (event: JSX.TargetedMouseEvent<HTMLDivElement>, index: number) => void;
};

const numberAt = ({ row, at }: RowProps, name: string): number | null => {
  const value = row.values[at.get(name) ?? -1];
  return typeof value === "number" ? value : null;
};

const Check = ({ row, index, isChosen, pick }: RowProps) => (
  <input
    type="checkbox"
    checked={isChosen}
    aria-label={t("Select {name}", { name: row.task_name })}
    onClick={(event) => pick(index, event.currentTarget.checked, event.shiftKey)}
  />
);

const shadeOf = ({ isChosen, isActive }: RowProps) =>
  `${isChosen ? "chosen" : ""} ${isActive ? "active" : ""}`;

/** Shift and a click select rows, not text. */
const keepText = (event: MouseEvent) => event.shiftKey && event.preventDefault();

/** A row of the table where there is room for its columns. */
export function WideRow(
  props: RowProps & {
    columns: Column[];
    template: string;
    nameWidth: number;
    /** Names of the rows above and below. */
    neighbours: (string | undefined)[];
    baseline: ChosenRun | undefined;
  },
) {
  const { row, index, at, columns, style, baseline } = props;
  const nonfinite = numberAt(props, "nonfinite_from_step");
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: its link and the table's keys open it too.
    <div
      role="row"
      aria-rowindex={index + 2}
      class={`runs-row ${shadeOf(props)}`}
      style={{ ...props.place, gridTemplateColumns: props.template }}
      onMouseDown={keepText}
      onClick={(event) => props.press(event, index)}
      data-row={index}
    >
      <div role="rowheader" class="runs-name" data-column={-1}>
        <Check {...props} />
        {style && <Swatch {...style} />}
        <Name
          row={row}
          neighbours={props.neighbours}
          room={Math.floor((props.nameWidth - BESIDE_PX - (style ? 26 : 0)) / LETTER_PX)}
        />
      </div>
      {columns.map((column, n) => {
        const value = row.values[at.get(column.name) ?? -1];
        return (
          <div
            key={column.name}
            role="cell"
            class={`clip ${alignedRight(column) ? "right" : ""}`}
            title={(column.kind === "text" && setting(value)) || undefined}
            data-column={n}
          >
            <Cell
              column={column}
              row={row}
              value={value}
              spark={props.spark}
              nonfinite={nonfinite}
            />
            {baseline && baseline.id !== row.id && (
              <Delta column={column} value={value} baseline={baseline} />
            )}
          </div>
        );
      })}
    </div>
  );
}

/** The link of a run; a long name is cut where its neighbours are the same, and then in its middle. */
const Name = memo(
  ({ row, neighbours, room }: { row: Row; neighbours: (string | undefined)[]; room: number }) => {
    const { ahead, head, tail, behind } = cutName(row.task_name, neighbours, room);
    return (
      <Link class="run-link" href={`/runs/${row.id}`} title={row.task_name}>
        {ahead && <span class="visually-hidden">{ahead}</span>}
        <span class={`clip ${ahead ? "name-cut" : ""} ${behind && !tail ? "name-end" : ""}`}>
          {head}
        </span>
        {tail && <span class={`name-tail ${behind ? "name-end" : ""}`}>{tail}</span>}
        {behind && <span class="visually-hidden">{behind}</span>}
      </Link>
    );
  },
  (a, b) =>
    a.row === b.row && a.room === b.room && a.neighbours.join("\n") === b.neighbours.join("\n"),
);

/** A row of the table on a phone. */
export function NarrowRow(props: RowProps) {
  const { row, index, style, spark } = props;
  const nonfinite = numberAt(props, "nonfinite_from_step");
  const finalLoss = numberAt(props, "final_loss");
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: its link and the table's keys open it too.
    <div
      role="row"
      class={`runs-row narrow ${shadeOf(props)}`}
      style={props.place}
      onMouseDown={keepText}
      onClick={(event) => props.press(event, index)}
    >
      <div role="cell">
        <Check {...props} />
      </div>
      <div role="cell" class="grow">
        <Link class="clip run-link" href={`/runs/${row.id}`}>
          <span class={`dot ${row.status}`} />
          {style && <Swatch {...style} />}
          <span class="clip">{row.task_name}</span>
        </Link>
        <span class="row faint narrow-facts">
          <span>{statusText(row.status, row.failure_reason)}</span>
          {nonfinite !== null && <NanBadge status={row.status} step={nonfinite} brief />}
          {row.status === "running" ? <Progress row={row} /> : <Ago at={row.created_at} />}
        </span>
      </div>
      <div role="cell" class="right">
        {spark && <Spark points={spark.points} width={72} height={24} />}
        {(finalLoss !== null || spark) && (
          <span class="spark-last">
            <span class="faint">{finalLoss === null ? t("Last value") : t("Final loss")}</span>{" "}
            {measure(finalLoss ?? spark?.last)}
          </span>
        )}
      </div>
    </div>
  );
}
