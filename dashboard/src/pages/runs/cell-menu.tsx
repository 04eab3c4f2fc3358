import type { JSX } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";
import { attempt } from "../../ui/toast.tsx";

/** A menu at a place of the page that filters by what a cell, or a whole row, holds. */
export function CellMenu(props: {
  x: number;
  y: number;
  label: string;
  conditions: string[];
  /** The text of the cell, to be copied. */
  text: string;
  filter: (condition: string) => void;
  close: () => void;
}) {
  const { x, y, conditions, text } = props;
  const menu = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = menu.current;
    if (!element) return;
    element.showPopover();
    const { width, height } = element.getBoundingClientRect();
    element.style.left = `${Math.max(8, Math.min(x, innerWidth - width - 8))}px`;
    element.style.top = `${Math.max(8, Math.min(y, innerHeight - height - 8))}px`;
    element.querySelector<HTMLElement>(".item")?.focus();
  }, [x, y]);
  const move = (event: JSX.TargetedKeyboardEvent<HTMLDivElement>) => {
    const by = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (!by) return;
    event.preventDefault();
    const items = [...event.currentTarget.querySelectorAll<HTMLElement>(".item")];
    const at = items.findIndex((item) => item.matches(":focus"));
    items.at((at + by) % items.length)?.focus();
  };
  return (
    <div
      ref={menu}
      class="menu cell-menu"
      popover="auto"
      role="group"
      aria-label={props.label}
      onKeyDown={move}
      onToggle={({ newState }) => newState === "closed" && props.close()}
    >
      <p class="faint menu-note clip">{props.label}</p>
      {conditions.map((condition) => (
        <button
          key={condition}
          type="button"
          class="item mono"
          onClick={() => props.filter(condition)}
        >
          <Icon name="search" />
          <span class="clip">{condition}</span>
        </button>
      ))}
      {text && (
        <>
          <hr />
          <button
            type="button"
            class="item"
            onClick={() => {
              void attempt(() => navigator.clipboard.writeText(text), t("Copied"));
              props.close();
            }}
          >
            <Icon name="copy" />
            {t("Copy the value")}
          </button>
        </>
      )}
    </div>
  );
}
