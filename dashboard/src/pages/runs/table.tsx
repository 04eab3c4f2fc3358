import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import type { LineStyle } from "../../chart/line-styles.ts";
import { whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { ChosenRun } from "../../queries.ts";
import type { Row } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { useNarrow } from "../../ui/media.ts";
import { useVirtualRows } from "../../ui/virtual.ts";
import { conditionsOf } from "./cell-filter.ts";
import { CellMenu } from "./cell-menu.tsx";
import { hasDelta } from "./cells.tsx";
import { type Column, columnLabel, fieldText, nameColumn, withinWidths } from "./columns.ts";
import { Heads } from "./head.tsx";
import { keepPlace, placeOf } from "./place.ts";
import { NarrowRow, WideRow } from "./row.tsx";
import { useSparklines } from "./sparks.ts";

const widened = (columns: Column[], wide: { name: string; width: number }) =>
  columns.map((column) => (column.name === wide.name ? { ...column, width: wide.width } : column));

/** Pixels that a difference to the baseline takes beside a value. */
const DELTA_WIDTH = 76;

export type Group = { group: string };
const isGroup = (item: Row | Group): item is Group => "group" in item;

/** What a click on a row is not for the row. */
const CONTROLS = "a, button, input, label, summary, .menu";

type OpenMenu = { x: number; y: number; label: string; conditions: string[]; text: string };

/** Rows of any number, drawn as far as they are in view. */
export function RunTable(props: {
  items: (Row | Group)[];
  columns: Column[];
  nameWidth: number;
  at: Map<string, number>;
  order: string;
  setOrder: (order: string) => void;
  setColumns: (columns: Column[], nameWidth: number) => void;
  selected: Set<number>;
  /** How the lines of selected runs are drawn beside the table. */
  styles: Map<number, LineStyle>;
  baseline: ChosenRun | undefined;
  select: (ids: number[], on: boolean) => void;
  /** Narrows the table by a condition of the filter language. */
  narrow: (condition: string) => void;
  open: (id: number) => void;
  more: () => void;
  hasMore: boolean;
  loading: boolean;
}) {
  const { items, at, selected, styles, baseline, select, open } = props;
  // The address takes a width when it is let go: browsers refuse it a hundred changes a moment.
  const [dragged, setDragged] = useState<{ name: string; width: number } | null>(null);
  const own = dragged ? widened(props.columns, dragged) : props.columns;
  const nameWidth = dragged?.name === nameColumn ? dragged.width : props.nameWidth;
  const roomOf = (column: Column) => (baseline && hasDelta(column) ? DELTA_WIDTH : 0);
  const columns = own.map((column) => ({ ...column, width: column.width + roomOf(column) }));
  const narrow = useNarrow();
  const frame = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const height = narrow ? 62 : 36;
  const virtual = useVirtualRows(scroller, items.length + (props.hasMore ? 1 : 0), () => height);
  useEffect(() => virtual.measure(), [height, virtual]);
  const inView = virtual.getVirtualItems();
  const lastInView = inView.at(-1)?.index ?? 0;
  useEffect(() => {
    if (props.hasMore && lastInView >= items.length - 60) props.more();
  }, [lastInView, items.length, props.hasMore, props.more]);
  const rowAt = (index: number): Row | undefined => {
    const item = items[index];
    return item && !isGroup(item) ? item : undefined;
  };
  const rowsInView = inView.flatMap(({ index }) => rowAt(index) ?? []);
  const sparks = useSparklines(rowsInView, narrow || columns.some(({ kind }) => kind === "curve"));
  const [active, setActive] = useState(-1);
  const activeRow = rowAt(active);
  const place = usePlace({ scroller, items, active: activeRow?.id ?? null, setActive });
  const [menu, setMenu] = useState<OpenMenu | null>(null);
  const template = `${nameWidth}px ${columns.map(({ width }) => `${width}px`).join(" ")} 1fr`;
  const total = nameWidth + columns.reduce((sum, { width }) => sum + width, 0);

  const ids = useMemo(() => items.flatMap((item) => (isGroup(item) ? [] : [item.id])), [items]);
  /** The row that a range begins at. */
  const anchor = useRef<number | null>(null);
  const pick = (index: number, on: boolean, range: boolean) => {
    const id = rowAt(index)?.id;
    if (id === undefined) return;
    const from = anchor.current === null ? -1 : ids.indexOf(anchor.current);
    const to = ids.indexOf(id);
    if (range && from >= 0) select(ids.slice(Math.min(from, to), Math.max(from, to) + 1), on);
    else select([id], on);
    anchor.current = id;
    setActive(index);
  };

  const press = (event: JSX.TargetedMouseEvent<HTMLDivElement>, index: number) => {
    const row = rowAt(index);
    const { target } = event;
    if (!row || !(target instanceof Element)) return;
    // The page may be left before it draws the row as the active one.
    if (!event.shiftKey) place.current.id = row.id;
    if (target.closest(CONTROLS)) {
      if (target.closest("a")) setActive(index);
      return;
    }
    if (event.shiftKey) return pick(index, true, true);
    // Who selects a text to copy it does not open the run.
    if (getSelection()?.toString()) return;
    setActive(index);
    if (event.ctrlKey || event.metaKey) window.open(`/runs/${row.id}`, "_blank", "noopener");
    else open(row.id);
  };

  /** Opens the menu of a cell; of a whole row where `n` is null. -1 is the name. */
  const openMenu = (row: Row, n: number | null, x: number, y: number) => {
    const valueIn = (name: string) =>
      name === nameColumn ? row.task_name : row.values[at.get(name) ?? -1];
    const column = n === null ? undefined : n < 0 ? nameColumn : columns[n]?.name;
    if (n !== null && column === undefined) return;
    const conditions = column
      ? conditionsOf(column, row, valueIn(column))
      : [nameColumn, ...columns.map(({ name }) => name)].flatMap((name) =>
          conditionsOf(name, row, valueIn(name)).slice(0, 1),
        );
    if (conditions.length === 0) return;
    setMenu({
      ...{ x, y, conditions },
      label: column && column !== nameColumn ? columnLabel(column) : row.task_name,
      text: !column ? "" : column === "status" ? "" : fieldText(column, valueIn(column)),
    });
  };
  const cellOf = (target: EventTarget | null) => {
    const cell = target instanceof Element ? target.closest<HTMLElement>("[data-column]") : null;
    const row = rowAt(Number(cell?.closest<HTMLElement>("[data-row]")?.dataset.row ?? -1));
    return cell && row ? { cell, row, n: Number(cell.dataset.column) } : null;
  };

  function keys(event: JSX.TargetedKeyboardEvent<HTMLDivElement>) {
    if (event.target !== event.currentTarget) return;
    const move = (to: number) => {
      event.preventDefault();
      const next = Math.max(0, Math.min(items.length - 1, to));
      if (event.shiftKey) {
        if (anchor.current === null) anchor.current = activeRow?.id ?? null;
        pick(next, true, true);
      }
      setActive(next);
      virtual.scrollToIndex(next);
    };
    if (event.key === "ArrowDown" || event.key === "j") move(active + 1);
    else if (event.key === "ArrowUp" || event.key === "k") move(active - 1);
    else if (event.key === "PageDown") move(active + 20);
    else if (event.key === "PageUp") move(active - 20);
    else if (event.key === "Home") move(0);
    else if (event.key === "End") move(items.length - 1);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      select(ids, true);
    } else if (activeRow && event.key === "Enter") open(activeRow.id);
    else if (activeRow && event.key === "f" && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      const box = event.currentTarget
        .querySelector(`[data-row="${active}"]`)
        ?.getBoundingClientRect();
      if (box) openMenu(activeRow, null, Math.max(box.left, 0) + 40, box.bottom);
    } else if (activeRow && (event.key === "x" || event.key === " ")) {
      event.preventDefault();
      pick(active, !selected.has(activeRow.id), false);
    }
  }

  const chosenLoaded = ids.filter((id) => selected.has(id)).length;
  return (
    <div class="runs-frame" ref={frame}>
      <span id="runs-keys" class="visually-hidden">
        {t(
          "Arrow keys move, with Shift they select, Enter opens a run, x selects it, f filters by its values, / goes to the filter.",
        )}
      </span>
      <span class="visually-hidden" aria-live="polite">
        {activeRow?.task_name ?? ""}
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
        onContextMenu={(event) => {
          const found = cellOf(event.target);
          // Shift gives the browser's own menu; so does a link, which people open in tabs.
          if (!found || event.shiftKey || getSelection()?.toString()) return;
          if (event.target instanceof Element && event.target.closest("a")) return;
          event.preventDefault();
          openMenu(found.row, found.n, event.clientX, event.clientY);
        }}
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
                nameWidth={nameWidth}
                order={props.order}
                setOrder={props.setOrder}
                chosen={chosenLoaded === 0 ? "none" : chosenLoaded < ids.length ? "some" : "all"}
                chooseAll={(on) => select(ids, on)}
                move={(from, to) => {
                  const next = [...props.columns];
                  const [moved] = next.splice(from, 1);
                  if (moved) next.splice(to, 0, moved);
                  props.setColumns(next, props.nameWidth);
                }}
                resize={(name, wide, last) => {
                  const column = props.columns.find((one) => one.name === name);
                  const width = withinWidths(wide - (column ? roomOf(column) : 0));
                  setDragged(last ? null : { name, width });
                  if (!last) return;
                  props.setColumns(
                    widened(props.columns, { name, width }),
                    name === nameColumn ? width : props.nameWidth,
                  );
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
            const position = { transform: `translateY(${start}px)`, height: `${size}px` };
            if (!item)
              return (
                <div key="more" role="row" class="runs-row" style={position}>
                  <div role="cell" class="faint runs-name">
                    {t("Loading more…")}
                  </div>
                </div>
              );
            if (isGroup(item))
              return (
                <div key={`group ${index}`} role="row" class="runs-row group" style={position}>
                  <div role="cell" class="clip">
                    {item.group || t("Without a group")}
                  </div>
                </div>
              );
            const common = {
              ...{ row: item, index, at, pick, press },
              place: position,
              spark: sparks.get(item.id),
              style: styles.get(item.id),
              isChosen: selected.has(item.id),
              isActive: index === active,
            };
            return narrow ? (
              <NarrowRow key={item.id} {...common} />
            ) : (
              <WideRow
                key={item.id}
                {...common}
                columns={columns}
                template={template}
                nameWidth={nameWidth}
                neighbours={[rowAt(index - 1)?.task_name, rowAt(index + 1)?.task_name]}
                baseline={baseline}
              />
            );
          })}
        </div>
      </div>
      {!narrow && <CellButton frame={frame} cellOf={cellOf} open={openMenu} />}
      {menu && (
        <CellMenu
          {...menu}
          filter={(condition) => {
            setMenu(null);
            props.narrow(condition);
          }}
          close={() => setMenu(null)}
        />
      )}
    </div>
  );
}

type FoundCell = { cell: HTMLElement; row: Row; n: number };

/** A button at the cell under the pointer that filters by it; the table's key f does the same. */
function CellButton(props: {
  frame: { current: HTMLDivElement | null };
  cellOf: (target: EventTarget | null) => FoundCell | null;
  open: (row: Row, n: number, x: number, y: number) => void;
}) {
  const button = useRef<HTMLButtonElement>(null);
  const found = useRef<FoundCell | null>(null);
  const latest = useRef(props);
  latest.current = props;
  useEffect(() => {
    const frame = props.frame.current;
    const element = button.current;
    if (!frame || !element) return;
    const hide = () => {
      element.hidden = true;
    };
    const over = ({ target }: Event) => {
      if (target === element || (target instanceof Node && element.contains(target))) return;
      const next = latest.current.cellOf(target);
      found.current = next;
      const column = next?.cell.querySelector("svg.spark, .progress-cell");
      if (!next || column) return hide();
      const [box, outer] = [next.cell.getBoundingClientRect(), frame.getBoundingClientRect()];
      const right = Math.min(box.right, outer.right);
      element.hidden = false;
      element.style.left = `${right - outer.left - 24}px`;
      element.style.top = `${box.top + box.height / 2 - outer.top - 11}px`;
    };
    frame.addEventListener("pointerover", over);
    frame.addEventListener("pointerleave", hide);
    frame.addEventListener("scroll", hide, { capture: true });
    return () => {
      frame.removeEventListener("pointerover", over);
      frame.removeEventListener("pointerleave", hide);
      frame.removeEventListener("scroll", hide, { capture: true });
    };
  }, [props.frame]);
  return (
    <button
      ref={button}
      type="button"
      hidden
      tabIndex={-1}
      class="button icon small cell-button"
      aria-label={t("Filter by this value")}
      title={t("Filter by this value")}
      onClick={(event) => {
        const { left, bottom } = event.currentTarget.getBoundingClientRect();
        if (found.current) props.open(found.current.row, found.current.n, left, bottom + 4);
      }}
    >
      <Icon name="search" />
    </button>
  );
}

/** Keeps how far the table is scrolled and its active row, and puts both back where the browser's Back leads to it. */
function usePlace(props: {
  scroller: { current: HTMLDivElement | null };
  items: (Row | Group)[];
  active: number | null;
  setActive: (index: number) => void;
}) {
  const { scroller, items, active, setActive } = props;
  const seen = useRef({ address: location.search, top: 0, id: active });
  if (location.pathname === "/runs") seen.current.address = location.search;
  seen.current.id = active;
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    const place = placeOf(location.search);
    if (place) {
      element.scrollTop = place.top;
      const index = items.findIndex((item) => !isGroup(item) && item.id === place.id);
      if (index >= 0) {
        setActive(index);
        element.focus({ preventScroll: true });
      }
    }
    const scrolled = () => {
      seen.current.top = element.scrollTop;
    };
    scrolled();
    element.addEventListener("scroll", scrolled, { passive: true });
    return () => {
      element.removeEventListener("scroll", scrolled);
      const { address, top, id } = seen.current;
      keepPlace(address, { top, id });
    };
  }, []);
  return seen;
}

/** The number of rows, as far as it is known. */
export const countText = (rows: number, more: boolean) =>
  more
    ? t("{n}+ runs", { n: whole(rows) })
    : rows === 1
      ? t("1 run")
      : t("{n} runs", { n: whole(rows) });
