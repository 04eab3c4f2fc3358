import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { default as Plot } from "uplot";
import { measure, whole } from "../format.ts";
import { t } from "../i18n.ts";
import { onTheme } from "../theme.ts";
import { Icon } from "../ui/icon.tsx";
import { Menu } from "../ui/menu.tsx";
import { attempt } from "../ui/toast.tsx";
import { align, nearest } from "./align.ts";
import { placeText, valueTitle } from "./axes.ts";
import { shareCrosshair } from "./crosshair.ts";
import { csvOf } from "./csv.ts";
import type { Line, XAxis } from "./curves.ts";
import { countLeftOut, exitsOf, frameOf, type Range, valuesOf } from "./frame.ts";
import { panBy, zoomAround } from "./gestures.ts";
import { type Mark, marksNear } from "./marks.ts";
import { plotOptions } from "./plot-options.ts";
import { pngOf, saveFile } from "./save.ts";
import { Swatch } from "./swatch.tsx";
import { linesUnder, Tooltip, underText } from "./tooltip.tsx";

/** Milliseconds without a move before a stretch that was reached by wheel or pan is the chart's. */
const STILL_MS = 150;
const noMarks: Mark[] = [];

/** Where the crosshair is: the place among the points, and whether this chart's own pointer is there. */
type Pointed = { at: number; own: boolean; left: number; top: number };

/**
 * Curves over one axis. Dragging zooms in, a double click zooms out; with Shift dragging moves the stretch in
 * view, and with Ctrl the wheel zooms. Arrow keys move the crosshair, +, - and 0 zoom. `zoomed` gets the
 * range, so that detail can be fetched for it; without it the chart keeps its own. `title` names the values,
 * and gives both axes their titles. The legend and, as words, `summary` have the same figures. Where there
 * is a `title` or a `file` name, the chart can be saved.
 */
export function Chart(props: {
  lines: Line[];
  axis: XAxis;
  log: boolean;
  height: number;
  summary: string;
  title?: string;
  /** Show each value, also those that flatten the rest. */
  all?: boolean;
  zoomed?: (range: Range | null) => void;
  range?: Range | null;
  marks?: Mark[];
  /** What the chart is called where its title is not its name. */
  name?: string;
  /** The name of saved pictures and points, without an ending. */
  file?: string;
}) {
  const { lines, axis, log, height, title, all = false, marks = noMarks } = props;
  const file = props.file ?? title;
  const element = useRef<HTMLDivElement>(null);
  const plot = useRef<Plot | null>(null);
  const [library, setLibrary] = useState<typeof import("./plot.ts") | null>(null);
  const [theme, setTheme] = useState(0);
  const [pointed, setPointed] = useState<Pointed | null>(null);
  const [own, setOwn] = useState<Range | null>(null);
  const range = props.zoomed ? (props.range ?? null) : own;
  const zoom = useRef<(range: Range | null) => void>(setOwn);
  zoom.current = props.zoomed ?? setOwn;
  useEffect(() => onTheme(() => setTheme((n) => n + 1)), []);
  useEffect(() => {
    void import("./plot.ts").then(setLibrary);
  }, []);

  const shape = lines
    .map((line) =>
      [line.label, line.colour, line.dash, line.strong, line.faint, line.unseen].join("|"),
    )
    .join("\n");
  const [low, high] = range ?? [];
  // A scale of logarithms is for values above 0; where there are none, the chart stays as it was.
  const logNow = log && lines.some(({ points }) => points.some(([, y]) => y !== null && y > 0));
  const data = useMemo(() => align(lines, logNow), [lines, logNow]);
  const drawn = useMemo(() => {
    const view: Range | null = low === undefined || high === undefined ? null : [low, high];
    const frame = frameOf(valuesOf(lines, view), { log: logNow, all });
    return {
      ...{ lines, view, frame, marks },
      exits: exitsOf(lines, view, frame, logNow),
      beyond: exitsOf(
        lines.filter(({ spots }) => spots),
        ...([view, frame, logNow] as const),
      ).length,
      leftOut: log ? countLeftOut(lines, view) : 0,
    };
  }, [lines, low, high, log, logNow, all, marks]);
  /** Puts the crosshair where another chart's is, after other points or another stretch came. */
  const refollow = useRef<(() => void) | null>(null);
  const latest = useRef({ ...drawn, data });
  latest.current = { ...drawn, data };

  /** Shows a stretch at once; the page gets the stretch once the moves are over. */
  const still = useRef<{ timer: ReturnType<typeof setTimeout>; range: Range | null } | null>(null);
  const wholeOf = (): Range => {
    const [xs] = latest.current.data;
    return [xs[0] ?? 0, xs.at(-1) ?? 0];
  };
  const inView = (): Range =>
    (still.current ? still.current.range : latest.current.view) ?? wholeOf();
  const show = (next: Range | null) => {
    if (still.current) clearTimeout(still.current.timer);
    const [min, max] = next ?? wholeOf();
    plot.current?.setScale("x", { min, max });
    const timer = setTimeout(() => {
      still.current = null;
      zoom.current(next);
    }, STILL_MS);
    still.current = { timer, range: next };
  };
  const around = (x: number, factor: number) => show(zoomAround(inView(), x, factor, wholeOf()));

  // The chart is made anew for other lines, scales or colours; new points go into the one there is.
  useEffect(() => {
    const holder = element.current;
    if (!library || !holder) return;
    // Where another chart has put this one's crosshair; new points tell the same place again.
    let ledTo: number | null = null;
    let isLeading = false;
    const follow = (x: number | null) => {
      const left = x === null ? -10 : Math.round(made.valToPos(x, "x"));
      // A chart without points has no place for it yet.
      ledTo = left >= 0 && left <= made.over.clientWidth ? left : -10;
      isLeading = false;
      refollow.current = x === null ? null : () => follow(x);
      made.setCursor({ left: ledTo, top: 0 }, true);
    };
    const crosshair = shareCrosshair(axis, follow);
    const pointedAt = (self: Plot) => {
      const { idx, left = 0, top = 0 } = self.cursor;
      const at = left < 0 ? null : (idx ?? null);
      const own = left !== ledTo;
      setPointed(at === null ? null : { at, own, left: left + self.over.offsetLeft, top });
      if (own && (at !== null || isLeading)) {
        isLeading = at !== null;
        refollow.current = null;
        crosshair.move(at === null ? null : (self.data[0][at] ?? null));
      }
    };
    const made: Plot = new library.uPlot(
      plotOptions({
        ...{ width: holder.clientWidth, height, lines, axis, log: logNow },
        title: title === undefined ? undefined : valueTitle(title),
        drawn: () => latest.current,
        pointed: pointedAt,
        chosen: (chosen) => zoom.current(chosen),
        panned: (distance) => show(panBy(inView(), distance, wholeOf())),
      }),
      latest.current.data,
      holder,
    );
    plot.current = made;
    const out = () => zoom.current(null);
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { left } = made.over.getBoundingClientRect();
      around(made.posToVal(event.clientX - left, "x"), event.deltaY > 0 ? 1.25 : 0.8);
    };
    made.over.addEventListener("dblclick", out);
    made.over.addEventListener("wheel", wheel, { passive: false });
    const observer = new ResizeObserver(() => made.setSize({ width: holder.clientWidth, height }));
    observer.observe(holder);
    return () => {
      observer.disconnect();
      crosshair.leave();
      made.destroy();
      plot.current = null;
      refollow.current = null;
      setPointed(null);
    };
  }, [library, shape, axis, logNow, height, theme, title]);
  useEffect(
    () => () => {
      if (still.current) clearTimeout(still.current.timer);
    },
    [],
  );

  // Behind the effect above, so that a chart made anew is given its points and its stretch too.
  const made = [library, shape, axis, logNow, height, theme, title];
  useEffect(() => {
    const { view } = latest.current;
    plot.current?.batch(() => {
      plot.current?.setData(data, !view);
      if (view) plot.current?.setScale("x", { min: view[0], max: view[1] });
    });
  }, [data, ...made]);
  // Another stretch of the same points needs no new ones.
  useEffect(() => {
    const [min, max] = drawn.view ?? wholeOf();
    if (plot.current && !still.current && min < max) plot.current.setScale("x", { min, max });
    // uPlot moves to another stretch in a microtask of its own.
    queueMicrotask(() => refollow.current?.());
  }, [drawn, ...made]);

  const { view, beyond, leftOut } = drawn;
  const [xs] = data;
  const firstInView = view
    ? Math.max(
        0,
        xs.findIndex((one) => one >= view[0]),
      )
    : 0;
  const lastInView = view ? xs.findLastIndex((one) => one <= view[1]) : xs.length - 1;
  const at = Math.min(pointed?.at ?? lastInView, xs.length - 1);
  const x = xs[at];
  const under = pointed && x !== undefined ? linesUnder(lines, x) : [];

  const point = (to: number) => {
    const place = xs[Math.min(Math.max(to, firstInView), lastInView)];
    if (place !== undefined)
      plot.current?.setCursor({ left: plot.current.valToPos(place, "x"), top: 0 }, true);
  };
  const press = (event: JSX.TargetedKeyboardEvent<HTMLDivElement>) => {
    if (event.ctrlKey || event.metaKey || event.altKey || x === undefined) return;
    const far = event.shiftKey ? 10 : 1;
    const actions: Record<string, () => void> = {
      ArrowLeft: () => point(pointed ? at - far : lastInView),
      ArrowRight: () => point(pointed ? at + far : firstInView),
      Home: () => point(firstInView),
      End: () => point(lastInView),
      "+": () => around(x, 0.5),
      "=": () => around(x, 0.5),
      "-": () => around(x, 2),
      "0": () => show(null),
      Escape: () => plot.current?.setCursor({ left: -10, top: -10 }, true),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]?.();
  };
  const hide = () => plot.current?.setCursor({ left: -10, top: -10 }, true);
  const atRight = pointed && pointed.left > (element.current?.clientWidth ?? 0) / 2;

  return (
    <figure class="chart">
      <div class="chart-area">
        <div
          ref={element}
          style={{ height: `${height}px` }}
          role="img"
          aria-label={props.summary}
        />
        {/* It lies over the chart for its focus alone, and lets the pointer through. */}
        <div
          class="chart-keys"
          role="slider"
          tabIndex={0}
          aria-label={t("Crosshair: {name}", { name: props.name ?? title ?? props.summary })}
          aria-valuemin={0}
          aria-valuemax={Math.max(0, xs.length - 1)}
          aria-valuenow={Math.max(0, at)}
          aria-valuetext={
            x === undefined ? t("No points yet") : underText(axis, x, linesUnder(lines, x))
          }
          title={t("Arrow keys move the crosshair; +, − and 0 zoom.")}
          onKeyDown={press}
          onBlur={hide}
        />
        {pointed?.own && x !== undefined && plot.current && (
          <Tooltip
            {...{ axis, x, under }}
            height={pointed.top > 0 ? plot.current.posToVal(pointed.top, "y") : null}
            marks={marksNear(marks, pointed.left - plot.current.over.offsetLeft, (place) =>
              plot.current ? plot.current.valToPos(place, "x") : 0,
            )}
            style={
              atRight
                ? { right: `${(element.current?.clientWidth ?? 0) - pointed.left + 12}px` }
                : { left: `${pointed.left + 12}px` }
            }
          />
        )}
      </div>
      <figcaption class="legend">
        <span class="faint legend-x">{x !== undefined && placeText(axis, x)}</span>
        {lines.map((line, n) => {
          if (line.faint) return null;
          const { value, n: found } = nearest(data[n + 1], at);
          const last = line.points.at(-1);
          const ended = !last || x === undefined || last[0] < x;
          return (
            <span key={`${line.label} ${line.colour} ${line.dash}`} class="legend-line">
              <Swatch {...line} />
              <span class="clip">{line.label}</span>
              <b>{measure(value) || "–"}</b>
              {ended && <span class="faint">{placeText(axis, xs[found] ?? 0)}</span>}
            </span>
          );
        })}
        {beyond > 0 && (
          <span class="faint">{t("{n} points lie beyond the frame", { n: whole(beyond) })}</span>
        )}
        {leftOut > 0 && (
          <span class="faint">
            {logNow
              ? t("{n} points at 0 or below are left out", { n: whole(leftOut) })
              : t("No value lies above 0, so the scale is not logarithmic")}
          </span>
        )}
        {file !== undefined && (
          <Menu
            class="button plain icon small chart-save"
            name={t("Save {name}", { name: file })}
            label={<Icon name="download" />}
          >
            <button
              type="button"
              class="item"
              onClick={() =>
                attempt(async () => {
                  if (plot.current)
                    saveFile(
                      await pngOf(plot.current, props.name ?? title ?? file, lines),
                      `${file}.png`,
                    );
                })
              }
            >
              {t("Picture (PNG)")}
            </button>
            <button
              type="button"
              class="item"
              onClick={() =>
                saveFile(
                  new Blob([csvOf(lines, axis, view)], { type: "text/csv;charset=utf-8" }),
                  `${file}.csv`,
                )
              }
            >
              {t("Points (CSV)")}
            </button>
          </Menu>
        )}
      </figcaption>
    </figure>
  );
}
