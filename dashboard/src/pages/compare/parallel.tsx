import type { JSX } from "preact";
import { useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { t } from "../../i18n.ts";
import { Scroll } from "../../ui/table.tsx";
import { columnLabel, fieldText } from "../runs/columns.ts";
import type { Dot } from "./dots.ts";
import { apart, scaleOf } from "./scale.ts";

const HEIGHT = 300;
const TOP = 34;
const BOTTOM = 12;
const inner = HEIGHT - TOP - BOTTOM;

/**
 * Each run a line across its parameters, ending at its result; the better the result the stronger
 * the line. Dragging along an axis keeps the runs between.
 */
export function ParallelCoordinates({ dots, axes }: { dots: Dot[]; axes: string[] }) {
  const [, go] = useLocation();
  const [over, setOver] = useState<number | null>(null);
  const [kept, setKept] = useState<Record<string, [number, number]>>({});
  const svg = useRef<SVGSVGElement>(null);
  const scales = useMemo(() => axes.map((name) => scaleOf(dots, name)), [dots, axes]);
  const width = Math.max(720, axes.length * 130);
  const x = (n: number) => 60 + (n * (width - 130)) / Math.max(1, axes.length - 1);
  const y = (place: number) => TOP + (1 - place) * inner;
  // One run that diverged must not make all others look the same: its strength is a line's rank.
  const ranked = useMemo(
    () =>
      dots.flatMap(({ values }) => {
        const value = values[axes.at(-1) ?? ""];
        return typeof value === "number" ? [value] : [];
      }),
    [dots, axes],
  );
  const lines = useMemo(
    () =>
      dots.flatMap((dot) => {
        const places = axes.map((name, n) => scales[n]?.place(dot.values[name] ?? null) ?? null);
        const inside = axes.every((name, n) => {
          const range = kept[name];
          const at = places[n] ?? null;
          return !range || (at !== null && at >= range[0] && at <= range[1]);
        });
        const points = places.flatMap((place, n) =>
          place === null ? [] : [`${x(n).toFixed(1)},${y(place).toFixed(1)}`],
        );
        const value = dot.values[axes.at(-1) ?? ""];
        const better =
          typeof value === "number"
            ? ranked.filter((other) => other < value).length
            : ranked.length;
        const good = 1 - better / Math.max(1, ranked.length);
        return points.length > 1 ? [{ dot, points: points.join(" "), inside, good }] : [];
      }),
    [dots, axes, scales, kept, ranked],
  );
  // Hundreds of lines over one another are one colour unless each is thinner.
  const thin = Math.min(1, 8 / Math.sqrt(Math.max(1, lines.length)));
  const chosen = lines.find(({ dot }) => dot.id === over)?.dot;

  function brush(name: string, event: JSX.TargetedPointerEvent<SVGRectElement>) {
    const box = svg.current?.getBoundingClientRect();
    if (!box) return;
    const element = event.currentTarget;
    element.setPointerCapture(event.pointerId);
    const at = (clientY: number) =>
      Math.max(0, Math.min(1, 1 - ((clientY - box.top) * (HEIGHT / box.height) - TOP) / inner));
    const from = at(event.clientY);
    const move = (moved: PointerEvent) => {
      const to = at(moved.clientY);
      setKept((before) => ({
        ...before,
        [name]: [Math.min(from, to) - 0.005, Math.max(from, to) + 0.005],
      }));
    };
    const end = (ended: PointerEvent) => {
      if (Math.abs(at(ended.clientY) - from) < 0.02) setKept(({ [name]: _, ...others }) => others);
      element.removeEventListener("pointermove", move);
      element.removeEventListener("pointerup", end);
    };
    element.addEventListener("pointermove", move);
    element.addEventListener("pointerup", end);
  }

  return (
    <section class="panel" aria-label={t("Parallel coordinates")}>
      <header class="wrap">
        <h2 class="grow">{t("Each run a line")}</h2>
        <span class="muted clip">
          {chosen
            ? `${chosen.name}: ${axes.map((name) => `${columnLabel(name)} ${fieldText(name, chosen.values[name]) || "–"}`).join(", ")}`
            : t("{n} of {all} runs. Drag along an axis to keep a part.", {
                n: lines.filter(({ inside }) => inside).length,
                all: lines.length,
              })}
        </span>
      </header>
      <Scroll label={t("Chart of lines")}>
        <svg
          ref={svg}
          class="parallel"
          viewBox={`0 0 ${width} ${HEIGHT}`}
          style={{ minWidth: `${Math.min(width, 900)}px` }}
          role="img"
          aria-label={t("{n} runs across {axes}", {
            n: lines.length,
            axes: axes.map(columnLabel).join(", "),
          })}
        >
          {lines.map(({ dot, points, inside, good }) => (
            // biome-ignore lint/a11y/noStaticElementInteractions: the table of runs opens each by keys.
            <polyline
              key={dot.id}
              points={points}
              class={`run-line ${inside ? "" : "outside"} ${dot.id === over ? "over" : ""}`}
              style={{
                opacity: inside ? (0.12 + 0.8 * good ** 3) * thin : 0.05,
                ...(inside && {
                  stroke: `color-mix(in oklab, var(--line-3) ${Math.round(good * 100)}%, var(--line-2))`,
                }),
              }}
              onPointerEnter={() => setOver(dot.id)}
              onPointerLeave={() => setOver(null)}
              onClick={() => go(`/runs/${dot.id}`)}
            />
          ))}
          {axes.map((name, n) => (
            <g key={name} transform={`translate(${x(n)} 0)`} class="axis">
              <text y={16} text-anchor="middle" class="axis-name">
                {columnLabel(name)}
              </text>
              <line y1={TOP} y2={TOP + inner} />
              {apart(scales[n]?.ticks ?? [], 13 / inner).map(({ at, text }) => (
                <text key={text + String(at)} x={-7} y={y(at) + 3.5} text-anchor="end">
                  {text.length > 16 ? `${text.slice(0, 15)}…` : text}
                </text>
              ))}
              {kept[name] && (
                <rect
                  class="kept"
                  x={-7}
                  width={14}
                  y={y(kept[name][1])}
                  height={Math.max(2, y(kept[name][0]) - y(kept[name][1]))}
                />
              )}
              <rect
                class="brush"
                x={-12}
                y={TOP - 6}
                width={24}
                height={inner + 12}
                onPointerDown={(event) => brush(name, event)}
              />
            </g>
          ))}
        </svg>
      </Scroll>
      <p class="visually-hidden">
        {t("Lowest {metric}: {value}", {
          metric: columnLabel(axes.at(-1) ?? ""),
          value: fieldText(
            axes.at(-1) ?? "",
            Math.min(
              ...dots.flatMap(({ values }) => {
                const value = values[axes.at(-1) ?? ""];
                return typeof value === "number" ? [value] : [];
              }),
            ),
          ),
        })}
      </p>
    </section>
  );
}
