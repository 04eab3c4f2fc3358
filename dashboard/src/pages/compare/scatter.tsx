import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { t } from "../../i18n.ts";
import { Scroll } from "../../ui/table.tsx";
import { columnLabel, fieldText } from "../runs/columns.ts";
import type { Dot } from "./dots.ts";
import { scaleOf } from "./scale.ts";

const WIDTH = 900;
const HEIGHT = 320;
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 20, 14, 44];

/** Any parameter against the result, a dot a run, coloured by group. */
export function Scatter(props: { dots: Dot[]; parameters: string[]; metric: string }) {
  const { dots, parameters, metric } = props;
  const [, go] = useLocation();
  const [wanted, setWanted] = useState("learning_rate");
  const [over, setOver] = useState<Dot | null>(null);
  const name = parameters.includes(wanted) ? wanted : (parameters[0] ?? wanted);
  const [across, up] = [scaleOf(dots, name), scaleOf(dots, metric)];
  const counts = new Map<string, number>();
  for (const { group } of dots) counts.set(group, (counts.get(group) ?? 0) + 1);
  const groups = [...counts].sort((a, b) => b[1] - a[1]).map(([group]) => group);
  const colourOf = (group: string) => Math.min(8, groups.indexOf(group) + 1);
  const x = (place: number) => LEFT + 14 + place * (WIDTH - LEFT - RIGHT - 28);
  const y = (place: number) => TOP + 8 + (1 - place) * (HEIGHT - TOP - BOTTOM - 16);
  return (
    <section class="panel" aria-label={t("Scatter")}>
      <header class="wrap">
        <h2>{t("One parameter against the result")}</h2>
        <select
          class="field small"
          aria-label={t("Parameter")}
          value={name}
          onChange={(event) => setWanted(event.currentTarget.value)}
        >
          {parameters.map((one) => (
            <option key={one} value={one}>
              {columnLabel(one)}
            </option>
          ))}
        </select>
        <span class="grow" />
        <span class="muted clip">
          {over &&
            `${over.name}: ${columnLabel(name)} ${fieldText(name, over.values[name])}, ${columnLabel(metric)} ${fieldText(metric, over.values[metric])}`}
        </span>
      </header>
      <Scroll class="body" label={t("Chart of dots")}>
        <svg
          class="scatter"
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          role="img"
          aria-label={t("{metric} by {name} of {n} runs", {
            metric: columnLabel(metric),
            name: columnLabel(name),
            n: dots.length,
          })}
        >
          {up.ticks.map(({ at, text }) => (
            <g key={`y${text}`} class="axis">
              <line x1={LEFT} x2={WIDTH - RIGHT} y1={y(at)} y2={y(at)} />
              <text x={LEFT - 8} y={y(at) + 3.5} text-anchor="end">
                {text}
              </text>
            </g>
          ))}
          {across.ticks.map(({ at, text }) => (
            <g key={`x${text}`} class="axis">
              <line x1={x(at)} x2={x(at)} y1={TOP} y2={HEIGHT - BOTTOM} />
              <text x={x(at)} y={HEIGHT - BOTTOM + 16} text-anchor="middle">
                {text}
              </text>
            </g>
          ))}
          <text
            class="axis-name"
            x={(LEFT + WIDTH - RIGHT) / 2}
            y={HEIGHT - 6}
            text-anchor="middle"
          >
            {columnLabel(name)}
          </text>
          {dots.map((dot) => {
            const [px, py] = [
              across.place(dot.values[name] ?? null),
              up.place(dot.values[metric] ?? null),
            ];
            return (
              px !== null &&
              py !== null && (
                // biome-ignore lint/a11y/noStaticElementInteractions: the table of runs opens each by keys.
                <circle
                  key={dot.id}
                  class={`dot-${colourOf(dot.group)}`}
                  cx={x(px)}
                  cy={y(py)}
                  r={over?.id === dot.id ? 6 : 4.2}
                  onPointerEnter={() => setOver(dot)}
                  onPointerLeave={() => setOver(null)}
                  onClick={() => go(`/runs/${dot.id}`)}
                />
              )
            );
          })}
        </svg>
        <p class="legend">
          {groups.slice(0, 7).map((group) => (
            <span key={group} class="legend-line">
              <i class={`swatch round colour-${colourOf(group)}`} />
              {group || t("Without a group")} <b>{counts.get(group)}</b>
            </span>
          ))}
        </p>
      </Scroll>
    </section>
  );
}
