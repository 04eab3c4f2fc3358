import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

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
