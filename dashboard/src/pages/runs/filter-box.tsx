import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Refusal } from "../../api.ts";
import { t, translate } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";
import { completions, findMistake, words } from "./complete.ts";

/**
 * The filter, with its words coloured, completions at the caret, and its mistake marked in place.
 * `refused` is the mistake that the server found.
 */
export function FilterBox(props: {
  value: string;
  apply: (filter: string) => void;
  refused: Refusal | null;
  seen: Record<string, string[]>;
}) {
  const { value, apply } = props;
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(value.length);
  const [open, setOpen] = useState(false);
  const [chosen, setChosen] = useState(0);
  const input = useRef<HTMLInputElement>(null);
  const marks = useRef<HTMLDivElement>(null);
  // Set while drawing, not after it: what is typed meanwhile stays, and so does a blank at the end.
  const [known, setKnown] = useState(value);
  if (known !== value) {
    setKnown(value);
    if (text.trim() !== value) setText(value);
  }
  /** The place for the caret once the text is drawn; null leaves the caret alone. */
  const place = useRef<number | null>(null);
  useLayoutEffect(() => {
    if (place.current === null) return;
    input.current?.focus();
    input.current?.setSelectionRange(place.current, place.current);
    place.current = null;
  });
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const at = event.target;
      if (
        event.key !== "/" ||
        (at instanceof HTMLElement && /INPUT|TEXTAREA|SELECT/.test(at.tagName))
      )
        return;
      event.preventDefault();
      input.current?.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);

  const { from, items } = completions(text, caret, props.seen);
  const shown = open && items.length > 0;
  const own = findMistake(text.trimEnd());
  // A filter that is being written is unfinished; its mistake shows once it was sent, or left.
  const fault = text.trim() === value ? (own ?? props.refused) : open ? null : own;

  function take(item: string) {
    const put = item.endsWith(".") || item.endsWith("(") ? item : `${item} `;
    const next = text.slice(0, from) + put + text.slice(caret).trimStart();
    setText(next);
    setChosen(0);
    const at = from + put.length;
    setCaret(at);
    place.current = at;
  }
  function keys(event: JSX.TargetedKeyboardEvent<HTMLInputElement>) {
    if (event.key === "Escape") {
      if (shown) setOpen(false);
      else input.current?.blur();
    } else if (shown && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      setChosen((chosen + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length);
    } else if (shown && event.key === "Tab" && !event.shiftKey) {
      event.preventDefault();
      take(items[chosen] ?? "");
    } else if (event.key === "Enter") {
      event.preventDefault();
      setOpen(false);
      apply(text.trim());
    }
  }
  const moved = (event: { currentTarget: HTMLInputElement }) => {
    setCaret(event.currentTarget.selectionStart ?? 0);
    if (marks.current) marks.current.scrollLeft = event.currentTarget.scrollLeft;
  };
  const at = fault?.position;

  return (
    <div class="filter">
      <div class={`filter-field ${fault ? "bad" : ""}`}>
        <Icon name="search" />
        <div class="filter-text">
          <div class="filter-marks" ref={marks} aria-hidden="true">
            {words(text).map((word, n) => (
              <span key={n} class={word.kind}>
                {word.text}
              </span>
            ))}
            {at !== undefined && (
              <span class="filter-fault">
                <span>{text.slice(0, at - 1)}</span>
                <b>{text.slice(at - 1).match(/^[\p{L}\p{N}_.]+|^./u)?.[0] ?? "\u00a0"}</b>
              </span>
            )}
          </div>
          <input
            ref={input}
            class="filter-input"
            role="combobox"
            aria-label={t("Filter")}
            aria-expanded={shown}
            aria-controls="filter-list"
            aria-activedescendant={shown ? `filter-item-${chosen}` : undefined}
            aria-invalid={fault !== null}
            aria-describedby={fault ? "filter-fault" : undefined}
            autoComplete="off"
            autoCapitalize="off"
            spellcheck={false}
            placeholder={t("lora_rank = 64 and final_loss < 0.3")}
            value={text}
            onInput={(event) => {
              setText(event.currentTarget.value);
              setOpen(true);
              setChosen(0);
              moved(event);
            }}
            onFocus={() => setOpen(true)}
            onBlur={() => {
              setOpen(false);
              if (text.trim() !== value && findMistake(text) === null) apply(text.trim());
            }}
            onKeyDown={keys}
            onKeyUp={moved}
            onClick={moved}
            onScroll={moved}
          />
        </div>
        {text ? (
          <button
            type="button"
            class="button plain icon small"
            aria-label={t("Clear the filter")}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => {
              setText("");
              apply("");
            }}
          >
            <Icon name="close" />
          </button>
        ) : (
          <kbd>/</kbd>
        )}
      </div>
      {fault && (
        <p class="filter-message" id="filter-fault" role="alert">
          {at !== undefined && <b>{t("Character {n}", { n: at })}: </b>}
          {translate(fault.message)}
        </p>
      )}
      <div
        class="menu filter-list"
        id="filter-list"
        role="listbox"
        aria-label={t("Completions")}
        hidden={!shown}
      >
        {items.map((item, n) => (
          // biome-ignore lint/a11y/useKeyWithClickEvents: the field keeps the focus, and its keys choose.
          <div
            key={item}
            id={`filter-item-${n}`}
            role="option"
            class="item mono"
            aria-selected={n === chosen}
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => take(item)}
          >
            {item}
          </div>
        ))}
        <p class="filter-hint muted" aria-hidden="true">
          <kbd>Tab</kbd> {t("takes it")} <kbd>Enter</kbd> {t("filters")}
        </p>
      </div>
    </div>
  );
}
