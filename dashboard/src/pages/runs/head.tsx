import type { JSX } from "preact";
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { t } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";
import { alignedRight } from "./cells.tsx";
import { type Column, nameColumn, sortable } from "./columns.ts";

/** Movement from which a press is a drag, not a click. */
const DRAG_PX = 6;

type Order = { order: string; setOrder: (order: string) => void };

/** Follows a pressed pointer over the whole page until its release. */
export function follow(
  { clientX }: PointerEvent,
  { move, end }: { move: (byPx: number, x: number) => void; end: () => void },
) {
  const moved = (event: PointerEvent) => move(event.clientX - clientX, event.clientX);
  const ended = () => {
    removeEventListener("pointermove", moved);
    removeEventListener("pointerup", ended);
    removeEventListener("pointercancel", ended);
    end();
  };
  addEventListener("pointermove", moved);
  addEventListener("pointerup", ended);
  addEventListener("pointercancel", ended);
}

/**
 * The heads of the table's columns. Each orders by its column, is moved by dragging or by Shift and
 * the arrow keys, and is made wider at its right edge, by dragging or by the arrow keys there.
 */
export function Heads(
  props: Order & {
    columns: Column[];
    nameWidth: number;
    /** How many of the loaded rows are selected. */
    chosen: "none" | "some" | "all";
    chooseAll: (on: boolean) => void;
    /** Moves a column to another's place. */
    move: (from: number, to: number) => void;
    /** Shows a width while it is dragged; `last`: keeps it. */
    resize: (name: string, width: number, last: boolean) => void;
  },
) {
  const { columns, move, order, chosen } = props;
  const [dragged, setDragged] = useState<{ from: number; to: number } | null>(null);
  const [announcement, setAnnouncement] = useState("");
  const cells = useRef<(HTMLDivElement | null)[]>([]);
  const focused = useRef<HTMLElement | null>(null);
  // A column that is moved by key keeps the focus, though its element was put elsewhere.
  useLayoutEffect(() => {
    focused.current?.focus();
    focused.current = null;
  }, [columns]);

  const press = (event: JSX.TargetedPointerEvent<HTMLDivElement>, from: number) => {
    if (event.button !== 0 || event.pointerType === "touch") return;
    const cell = event.currentTarget;
    let to: number | null = null;
    follow(event, {
      move: (by, x) => {
        if (to === null && Math.abs(by) < DRAG_PX) return;
        const behind = cells.current
          .slice(0, columns.length)
          .filter((at, n) => n !== from && at && middle(at) < x).length;
        to = behind;
        setDragged({ from, to });
      },
      end: () => {
        setDragged(null);
        if (to === null) return;
        // The click that follows was none on the button within.
        cell.addEventListener("click", stop, { capture: true, once: true });
        setTimeout(() => cell.removeEventListener("click", stop, { capture: true }));
        if (to !== from) move(from, to);
      },
    });
  };
  const keys = (event: JSX.TargetedKeyboardEvent<HTMLDivElement>, from: number) => {
    const by = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (!by || !event.shiftKey) return;
    event.preventDefault();
    const to = from + by;
    const column = columns[from];
    if (!column || to < 0 || to >= columns.length) return;
    focused.current = event.target instanceof HTMLElement ? event.target : null;
    setAnnouncement(
      t("{name}: column {n} of {all}", { name: column.label, n: to + 1, all: columns.length }),
    );
    move(from, to);
  };
  return (
    <>
      <div
        role="columnheader"
        class="runs-name"
        aria-sort={
          order === nameColumn ? "ascending" : order === `-${nameColumn}` ? "descending" : undefined
        }
      >
        <input
          type="checkbox"
          aria-label={t("Select all rows that are loaded")}
          checked={chosen === "all"}
          indeterminate={chosen === "some"}
          onClick={() => props.chooseAll(chosen !== "all")}
        />
        <Sort name={nameColumn} label={t("Run")} {...props} />
        <Edge
          column={{ name: nameColumn, label: t("Run"), width: props.nameWidth }}
          resize={props.resize}
        />
        <span id="head-keys" class="visually-hidden">
          {t("Shift and the arrow keys move the column.")}
        </span>
        <span class="visually-hidden" aria-live="polite">
          {announcement}
        </span>
      </div>
      {columns.map((column, n) => {
        const { name, label } = column;
        const drop =
          dragged?.to === n && dragged.from !== n
            ? dragged.from < n
              ? "drop-behind"
              : "drop-before"
            : "";
        return (
          <div
            key={name}
            ref={(element) => {
              cells.current[n] = element;
            }}
            role="columnheader"
            class={`${alignedRight(column) ? "right" : ""} ${dragged?.from === n ? "dragged" : ""} ${drop}`}
            aria-sort={
              order === name ? "ascending" : order === `-${name}` ? "descending" : undefined
            }
            onPointerDown={(event) => press(event, n)}
            onKeyDown={(event) => keys(event, n)}
          >
            {sortable(column) ? (
              <Sort name={name} label={label} head={column.head} {...props} />
            ) : (
              <span class="clip">{label}</span>
            )}
            <Edge column={column} resize={props.resize} />
          </div>
        );
      })}
    </>
  );
}

const middle = (element: HTMLElement) => {
  const { left, width } = element.getBoundingClientRect();
  return left + width / 2;
};

const stop = (event: Event) => event.stopPropagation();

/** Orders by a column: ascending, descending, then not at all. */
function Sort(props: Order & { name: string; label: string; head?: string }) {
  const { name, label, head = label, order, setOrder } = props;
  const next = order === name ? `-${name}` : order === `-${name}` ? "" : name;
  return (
    <button
      type="button"
      class="head-sort"
      onClick={() => setOrder(next)}
      title={t("Order by {name}", { name: label })}
      aria-describedby={name === nameColumn ? undefined : "head-keys"}
    >
      <span class="clip">{head}</span>
      {order === name && <Icon name="up" />}
      {order === `-${name}` && <Icon name="down" />}
    </button>
  );
}

/** The right edge of a column's head. */
function Edge({
  column,
  resize,
}: {
  column: Pick<Column, "name" | "label" | "width">;
  resize: (name: string, width: number, last: boolean) => void;
}) {
  const { name, label, width } = column;
  const drag = (event: JSX.TargetedPointerEvent<HTMLDivElement>) => {
    event.preventDefault();
    event.stopPropagation();
    let dragged = width;
    follow(event, {
      move: (by) => {
        dragged = width + by;
        resize(name, dragged, false);
      },
      end: () => resize(name, dragged, true),
    });
  };
  return (
    <div
      class="resize"
      role="separator"
      aria-orientation="vertical"
      aria-label={t("Width of {name}", { name: label })}
      aria-describedby="head-keys"
      aria-valuenow={width}
      aria-valuemin={48}
      aria-valuemax={800}
      tabIndex={0}
      onPointerDown={drag}
      onKeyDown={(event) => {
        const step = event.key === "ArrowLeft" ? -16 : event.key === "ArrowRight" ? 16 : 0;
        if (!step || event.shiftKey) return;
        event.preventDefault();
        resize(name, width + step, true);
      }}
    />
  );
}
