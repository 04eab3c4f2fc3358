import type { ComponentChildren, JSX } from "preact";
import { useId, useRef, useState } from "preact/hooks";

/**
 * A button that opens a menu. The browser opens it as a popover: on top of the page, closed by Escape
 * and by clicks elsewhere, with the focus given back to the button. Choosing closes it too; with `keepOpen`
 * following a link alone does.
 */
export function Menu(props: {
  label: ComponentChildren;
  name?: string;
  class?: string;
  keepOpen?: boolean;
  /** Called when the menu opens or closes. */
  toggled?: (open: boolean) => void;
  children: ComponentChildren;
}) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<HTMLDivElement>(null);
  const choose = ({ target }: Event) => {
    if (props.keepOpen && !(target instanceof Element && target.closest("a"))) return;
    // Safari gives no focus to a button that is clicked, so none would come back to it.
    button.current?.focus();
    menu.current?.hidePopover();
  };
  const move = (event: JSX.TargetedKeyboardEvent<HTMLDivElement>) => {
    if (!open || (event.key !== "ArrowDown" && event.key !== "ArrowUp")) return;
    const items = [...(menu.current?.querySelectorAll<HTMLElement>(".item") ?? [])];
    if (items.length === 0) return;
    event.preventDefault();
    const at = items.findIndex((item) => item.matches(":focus"));
    const next = event.key === "ArrowDown" ? at + 1 : at < 0 ? -1 : at - 1;
    items.at(next % items.length)?.focus();
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: arrow keys move among the items within.
    <div class="menu-anchor" onKeyDown={move}>
      <button
        ref={button}
        type="button"
        class={props.class ?? "button small"}
        popoverTarget={id}
        aria-expanded={open}
        aria-label={props.name}
      >
        {props.label}
      </button>
      {/* biome-ignore lint/a11y/noStaticElementInteractions lint/a11y/useKeyWithClickEvents: closes after a click on an item. */}
      <div
        ref={menu}
        id={id}
        class="menu"
        popover="auto"
        onBeforeToggle={({ newState }) => newState === "open" && setOpen(true)}
        // Items that left before it closed would take the focus with them, away from the button.
        onToggle={({ newState }) => {
          setOpen(newState === "open");
          props.toggled?.(newState === "open");
        }}
        onClick={choose}
      >
        {open && props.children}
      </div>
    </div>
  );
}
