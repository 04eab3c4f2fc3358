import { keepPreviousData, useQuery } from "@tanstack/preact-query";
import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import type { LineStyle } from "../../chart/line-styles.ts";
import { Swatch } from "../../chart/swatch.tsx";
import { measure, setting, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { ChosenRun } from "../../queries.ts";
import type { Row, Sparkline } from "../../types.ts";
import { Ago, Spark } from "../../ui/figure.tsx";
import { useNarrow } from "../../ui/media.ts";
import { NanBadge, statusText } from "../../ui/status.tsx";
import { useVirtualRows } from "../../ui/virtual.ts";
import { alignedRight, Cell, Delta, hasDelta, Progress } from "./cells.tsx";
import type { Column } from "./columns.ts";
import { Heads } from "./head.tsx";
import { readSparklines } from "./queries.ts";

const NAME_WIDTH = 280;
const SPARKS = 60;

/** The small curves of the rows in view: one request for all of them, fresh while some run. */
function useSparklines(rows: Row[], wanted: boolean): Map<number, Sparkline> {
  const known = useRef(new Map<number, { at: string | null; spark: Sparkline | undefined }>());
  const missing = wanted
    ? rows
        .filter(({ id, heartbeat_at }) => known.current.get(id)?.at !== (heartbeat_at ?? ""))
        .filter(({ heartbeat_at }) => heartbeat_at !== null)
        .slice(0, SPARKS)
    : [];
  const asked = missing.map(({ id, heartbeat_at }) => `${id}@${heartbeat_at}`).join(",");
  const [ready, setReady] = useState(asked);
  // While one scrolls the rows in view change at each frame: ask when they rest.
  useEffect(() => {
    const later = setTimeout(() => setReady(asked), 120);
    return () => clearTimeout(later);
  }, [asked]);
  const query = useQuery({
    queryKey: ["sparklines", ready],
    enabled: ready !== "",
    gcTime: 0,
    placeholderData: keepPreviousData,
    queryFn: async () => {
      const runs = ready.split(",").map((part) => part.split("@"));
      const ids = runs.map(([id]) => id).join(",");
      const items = await readSparklines(ids);
      for (const [id, at] of runs)
        known.current.set(Number(id), {
          at: at ?? "",
          spark: items.find((item) => item.id === Number(id)),
        });
      return ready;
    },
  });
  return useMemo(
    () => new Map([...known.current].flatMap(([id, { spark }]) => (spark ? [[id, spark]] : []))),
    [query.data, rows],
  );
}

const widened = (columns: Column[], wide: { name: string; width: number }) =>
  columns.map((column) => (column.name === wide.name ? { ...column, width: wide.width } : column));

/** Pixels that a difference to the baseline takes beside a value. */
const DELTA_WIDTH = 76;

export type Group = { group: string };
const isGroup = (item: Row | Group): item is Group => "group" in item;

/** Rows of any number, drawn as far as they are in view. */
export function RunTable(props: {
  items: (Row | Group)[];
  columns: Column[];
  at: Map<string, number>;
  order: string;
  setOrder: (order: string) => void;
  setColumns: (columns: Column[]) => void;
  selected: Set<number>;
  /** How the lines of selected runs are drawn beside the table. */
  styles: Map<number, LineStyle>;
  baseline: ChosenRun | undefined;
  select: (id: number, on: boolean) => void;
  open: (id: number) => void;
  more: () => void;
  hasMore: boolean;
  loading: boolean;
}) {
  const { items, at, selected, styles, baseline } = props;
  // The address takes a width when it is let go: browsers refuse it a hundred changes a moment.
  const [dragged, setDragged] = useState<{ name: string; width: number } | null>(null);
  const own = dragged ? widened(props.columns, dragged) : props.columns;
  const roomOf = (column: Column) => (baseline && hasDelta(column) ? DELTA_WIDTH : 0);
  const columns = own.map((column) => ({ ...column, width: column.width + roomOf(column) }));
  const narrow = useNarrow();
  const scroller = useRef<HTMLDivElement>(null);
  const height = narrow ? 62 : 36;
  const virtual = useVirtualRows(scroller, items.length + (props.hasMore ? 1 : 0), () => height);
  useEffect(() => virtual.measure(), [height, virtual]);
  const inView = virtual.getVirtualItems();
  const lastInView = inView.at(-1)?.index ?? 0;
  useEffect(() => {
    if (props.hasMore && lastInView >= items.length - 60) props.more();
  }, [lastInView, items.length, props.hasMore, props.more]);
  const rowsInView = inView.flatMap(({ index }) => {
    const item = items[index];
    return item && !isGroup(item) ? [item] : [];
  });
  const sparks = useSparklines(rowsInView, narrow || columns.some(({ kind }) => kind === "curve"));
  const [active, setActive] = useState(-1);
  const template = `${NAME_WIDTH}px ${columns.map(({ width }) => `${width}px`).join(" ")} 1fr`;
  const total = NAME_WIDTH + columns.reduce((sum, { width }) => sum + width, 0);

  function keys(event: JSX.TargetedKeyboardEvent<HTMLDivElement>) {
    if (event.target !== event.currentTarget) return;
    const move = (to: number) => {
      event.preventDefault();
      const next = Math.max(0, Math.min(items.length - 1, to));
      setActive(next);
      virtual.scrollToIndex(next);
    };
    const item = items[active];
    if (event.key === "ArrowDown" || event.key === "j") move(active + 1);
    else if (event.key === "ArrowUp" || event.key === "k") move(active - 1);
    else if (event.key === "PageDown") move(active + 20);
    else if (event.key === "PageUp") move(active - 20);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(items.length - 1);
    else if (item && !isGroup(item) && event.key === "Enter") props.open(item.id);
    else if (item && !isGroup(item) && (event.key === "x" || event.key === " ")) {
      event.preventDefault();
      props.select(item.id, !selected.has(item.id));
    }
  }

  const numberAt = (row: Row, name: string): number | null => {
    const value = row.values[at.get(name) ?? -1];
    return typeof value === "number" ? value : null;
  };
  const activeItem = items[active];
  return (
    <>
      <span id="runs-keys" class="visually-hidden">
        {t("Arrow keys move, Enter opens a run, x selects it, / goes to the filter.")}
      </span>
      <span class="visually-hidden" aria-live="polite">
        {activeItem && !isGroup(activeItem) ? activeItem.task_name : ""}
      </span>
      <div
        class={`runs-scroller ${props.loading && items.length ? "stale" : ""}`}
        ref={scroller}
        role="table"
        aria-label={t("Runs")}
        aria-rowcount={props.hasMore ? -1 : items.length + 1}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys go through its rows.
        tabIndex={0}
        aria-describedby="runs-keys"
        onKeyDown={keys}
      >
        {!narrow && (
          <div class="runs-head" role="rowgroup" style={{ minWidth: `${total}px` }}>
            <div
              class="runs-row"
              role="row"
              aria-rowindex={1}
              style={{ gridTemplateColumns: template }}
            >
              <Heads
                columns={columns}
                order={props.order}
                setOrder={props.setOrder}
                move={(from, to) => {
                  const next = [...props.columns];
                  const [moved] = next.splice(from, 1);
                  if (moved) next.splice(to, 0, moved);
                  props.setColumns(next);
                }}
                resize={(name, wide, last) => {
                  const column = props.columns.find((one) => one.name === name);
                  const bare = wide - (column ? roomOf(column) : 0);
                  const width = Math.round(Math.min(800, Math.max(48, bare)));
                  setDragged(last ? null : { name, width });
                  if (last) props.setColumns(widened(props.columns, { name, width }));
                }}
              />
            </div>
          </div>
        )}
        <div
          role="rowgroup"
          class="runs-body"
          style={{
            height: `${virtual.getTotalSize()}px`,
            minWidth: narrow ? undefined : `${total}px`,
          }}
        >
          {inView.map(({ index, start, size }) => {
            const item = items[index];
            const place = { transform: `translateY(${start}px)`, height: `${size}px` };
            if (!item)
              return (
                <div key="more" role="row" class="runs-row" style={place}>
                  <div role="cell" class="faint runs-name">
                    {t("Loading more…")}
                  </div>
                </div>
              );
            if (isGroup(item))
              return (
                <div key={`group ${index}`} role="row" class="runs-row group" style={place}>
                  <div role="cell" class="clip">
                    {item.group || t("Without a group")}
                  </div>
                </div>
              );
            const chosen = selected.has(item.id);
            const spark = sparks.get(item.id);
            const nonfinite = numberAt(item, "nonfinite_from_step");
            const finalLoss = numberAt(item, "final_loss");
            const style = styles.get(item.id);
            const check = (
              <input
                type="checkbox"
                checked={chosen}
                aria-label={t("Select {name}", { name: item.task_name })}
                onChange={(event) => props.select(item.id, event.currentTarget.checked)}
              />
            );
            const shade = `${chosen ? "chosen" : ""} ${index === active ? "active" : ""}`;
            if (narrow)
              return (
                <div key={item.id} role="row" class={`runs-row narrow ${shade}`} style={place}>
                  <div role="cell">{check}</div>
                  <div role="cell" class="grow">
                    <Link class="clip run-link" href={`/runs/${item.id}`}>
                      <span class={`dot ${item.status}`} />
                      {style && <Swatch {...style} />}
                      <span class="clip">{item.task_name}</span>
                    </Link>
                    <span class="row faint narrow-facts">
                      <span>{statusText(item.status, item.failure_reason)}</span>
                      {nonfinite !== null && (
                        <NanBadge status={item.status} step={nonfinite} brief />
                      )}
                      {item.status === "running" ? (
                        <Progress row={item} />
                      ) : (
                        <Ago at={item.created_at} />
                      )}
                    </span>
                  </div>
                  <div role="cell" class="right">
                    {spark && <Spark points={spark.points} width={72} height={24} />}
                    {(finalLoss !== null || spark) && (
                      <span class="spark-last">
                        <span class="faint">
                          {finalLoss === null ? t("Last value") : t("Final loss")}
                        </span>{" "}
                        {measure(finalLoss ?? spark?.last)}
                      </span>
                    )}
                  </div>
                </div>
              );
            return (
              <div
                key={item.id}
                role="row"
                aria-rowindex={index + 2}
                class={`runs-row ${shade}`}
                style={{ ...place, gridTemplateColumns: template }}
              >
                <div role="rowheader" class="runs-name">
                  {check}
                  {style && <Swatch {...style} />}
                  <Link class="clip run-link" href={`/runs/${item.id}`} title={item.task_name}>
                    {item.task_name}
                  </Link>
                </div>
                {columns.map((column) => {
                  const value = item.values[at.get(column.name) ?? -1];
                  return (
                    <div
                      key={column.name}
                      role="cell"
                      class={`clip ${alignedRight(column) ? "right" : ""}`}
                      title={(column.kind === "text" && setting(value)) || undefined}
                    >
                      <Cell
                        column={column}
                        row={item}
                        value={value}
                        spark={spark}
                        nonfinite={nonfinite}
                      />
                      {baseline && baseline.id !== item.id && (
                        <Delta column={column} value={value} baseline={baseline} />
                      )}
                    </div>
                  );
                })}
              </div>
            );
          })}
        </div>
      </div>
    </>
  );
}

/** The number of rows, as far as it is known. */
export const countText = (rows: number, more: boolean) =>
  more
    ? t("{n}+ runs", { n: whole(rows) })
    : rows === 1
      ? t("1 run")
      : t("{n} runs", { n: whole(rows) });
