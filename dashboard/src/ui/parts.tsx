import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { Problem, said } from "../api.ts";
import { ago, dateTime } from "../format.ts";
import { type Text, t } from "../i18n.ts";
import type { Status } from "../types.ts";
import { Icon, type IconName } from "./icon.tsx";

const statusTexts: Record<Status, Text> = {
  pending: "Waiting",
  running: "Running",
  success: "Success",
  failed: "Failed",
  cancelled: "Cancelled",
};
const reasons: Record<string, Text> = {
  error: "error",
  oom: "out of memory",
  lost: "lost",
  preempted: "preempted",
};

/** How a run stands, in a word. */
export function statusText(status: Status, reason?: string | null): string {
  const why = reason ? reasons[reason] : undefined;
  return status === "failed" && why && why !== "error" ? t(why) : t(statusTexts[status]);
}

export const StatusBadge = (props: { status: Status; reason?: string | null }) => (
  <span class={`badge ${props.status}`}>
    <span class={`dot ${props.status}`} />
    {statusText(props.status, props.reason)}
  </span>
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

/** A moment in words, its date and time on hovering. */
export const Ago = ({ at }: { at: string | null | undefined }) =>
  at ? (
    <time dateTime={at} title={dateTime(at)}>
      {ago(at)}
    </time>
  ) : null;

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

/** What is wider than a phone scrolls by itself, also by keys. */
export const Scroll = (props: { label: string; class?: string; children: ComponentChildren }) => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keys.
  <div class={`scroll-x ${props.class ?? ""}`} tabIndex={0} role="region" aria-label={props.label}>
    {props.children}
  </div>
);

/** What to do where there is nothing to see yet. */
export const Empty = (props: { icon: IconName; title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <Icon name={props.icon} />
    <h2>{props.title}</h2>
    {props.children}
  </div>
);

/** What went wrong, and the way on. */
export function Trouble({ error, again }: { error: unknown; again?: () => void }) {
  const unreachable = error instanceof Problem && error.status === 0;
  return (
    <div class="note bad" role="alert">
      <Icon name="warn" />
      <div class="grow">
        <p>{unreachable ? t("The ledger cannot be reached just now.") : said(error)}</p>
        {unreachable && (
          <p class="muted">{t("Check your connection; this page tries again by itself.")}</p>
        )}
      </div>
      {again && (
        <button type="button" class="button small" onClick={again}>
          {t("Try again")}
        </button>
      )}
    </div>
  );
}

export const Skeleton = ({ lines = 4 }: { lines?: number }) => (
  <div class="stack" aria-busy="true" aria-label={t("Loading")} role="status">
    {Array.from({ length: lines }, (_, n) => (
      <div key={n} class="skeleton" style={{ width: `${90 - ((n * 37) % 45)}%` }} />
    ))}
  </div>
);

/** Copies a text, and says that it has. */
export function Copy({ text, label, plain }: { text: string; label: string; plain?: boolean }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <button type="button" class={`button small ${plain ? "plain" : ""}`} onClick={copy}>
      <Icon name={copied ? "check" : "copy"} />
      <span aria-live="polite">{copied ? t("Copied") : label}</span>
    </button>
  );
}

/** A button that opens a menu; closes on choosing, Escape and clicks elsewhere. */
export function Menu(props: {
  label: ComponentChildren;
  name?: string;
  class?: string;
  side?: "left" | "right";
  keepOpen?: boolean;
  children: ComponentChildren;
}) {
  const [open, setOpen] = useState(false);
  const anchor = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  /** Whoever was within goes on from the menu's button. */
  const leave = () => {
    button.current?.focus();
    setOpen(false);
  };
  useEffect(() => {
    if (!open) return;
    const close = (event: Event) => {
      if (!(event instanceof KeyboardEvent)) {
        if (!anchor.current?.contains(event.target as Node)) setOpen(false);
      } else if (event.key === "Escape") leave();
    };
    addEventListener("pointerdown", close);
    addEventListener("keydown", close);
    return () => {
      removeEventListener("pointerdown", close);
      removeEventListener("keydown", close);
    };
  }, [open]);
  const move = (event: JSX.TargetedKeyboardEvent<HTMLDivElement>) => {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const items = [...(anchor.current?.querySelectorAll<HTMLElement>(".menu .item") ?? [])];
    const at = items.indexOf(document.activeElement as HTMLElement);
    if (items.length === 0) return;
    event.preventDefault();
    const next = event.key === "ArrowDown" ? at + 1 : at < 0 ? -1 : at - 1;
    items.at(next % items.length)?.focus();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: arrow keys move among the items within.
    <div class="menu-anchor" ref={anchor} onKeyDown={move}>
      <button
        ref={button}
        type="button"
        class={props.class ?? "button small"}
        aria-expanded={open}
        aria-label={props.name}
        onClick={() => setOpen(!open)}
      >
        {props.label}
      </button>
      {open && (
        // biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: closes after what was clicked within.
        <div class={`menu ${props.side ?? ""}`} onClick={() => props.keepOpen || leave()}>
          {props.children}
        </div>
      )}
    </div>
  );
}

/** A dialog that keeps the focus until it is answered or left by Escape. */
export function Dialog(props: { title: string; close: () => void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    // A dialog that is taken off the page gives the focus back to nobody.
    return () => requestAnimationFrame(() => before instanceof HTMLElement && before.focus());
  }, []);
  return (
    <dialog ref={element} onClose={props.close} aria-label={props.title}>
      <div class="content">
        <h1>{props.title}</h1>
        {props.children}
      </div>
    </dialog>
  );
}

/** A few choices side by side. */
export function Segments<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  choose: (value: T) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={props.label}>
      {props.options.map(([value, text]) => (
        <button
          key={value}
          type="button"
          aria-pressed={value === props.value}
          onClick={() => props.choose(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
