import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { ago, dateTime } from "../format.ts";

/** Draws a part of the page again every 20 seconds, whether or not anything comes in. */
function useTick() {
  const [, draw] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => draw((n) => n + 1), 20_000);
    return () => clearInterval(timer);
  }, []);
}

/** A moment in words, with its date and time as the title. */
export function Ago({ at }: { at: string | null | undefined }) {
  useTick();
  return at ? (
    <time dateTime={at} title={dateTime(at)}>
      {ago(at)}
    </time>
  ) : null;
}

/** A name and its value in a list of facts; nothing where the value is empty. */
export const Fact = ({ name, children }: { name: string; children: ComponentChildren }) =>
  children === null || children === "" || children === undefined ? null : (
    <div class="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );

export const Meter = (props: { share: number; kind?: string; label: string }) => (
  <span
    class={`meter ${props.kind ?? ""}`}
    role="progressbar"
    aria-valuemin={0}
    aria-valuemax={100}
    aria-valuenow={Math.round(props.share * 100)}
    aria-label={props.label}
  >
    <span style={{ width: `${Math.max(0, Math.min(1, props.share)) * 100}%` }} />
  </span>
);

/** A bar of several parts, as wide as its share of the longest; the numbers beside it say the same. */
export const Parts = (props: { of: number; parts: (readonly [kind: string, size: number])[] }) => (
  <span class="parts" aria-hidden="true">
    {props.parts.map(([kind, size]) =>
      size > 0 && props.of > 0 ? (
        <i key={kind} class={kind} style={{ width: `${(size / props.of) * 100}%` }} />
      ) : null,
    )}
  </span>
);

/** A small curve; the numbers beside it say the same. */
export function Spark(props: { points: [number, number][]; width: number; height: number }) {
  const { points, width, height } = props;
  const values = points.map(([, value]) => value).sort((a, b) => a - b);
  const first = points[0]?.[0] ?? 0;
  const span = (points.at(-1)?.[0] ?? 0) - first || 1;
  const low = values[0] ?? 0;
  // One wild value at the start must not flatten all the rest.
  const high = values[Math.floor(values.length * 0.97)] ?? low;
  const range = high - low || 1;
  const place = ([step, value]: [number, number]) =>
    `${(((step - first) / span) * width).toFixed(1)},${(height - 1 - Math.min(1.05, (value - low) / range) * (height - 2)).toFixed(1)}`;
  return (
    <svg class="spark" width={width} height={height} aria-hidden="true">
      {points.length > 1 && <polyline points={points.map(place).join(" ")} />}
    </svg>
  );
}
