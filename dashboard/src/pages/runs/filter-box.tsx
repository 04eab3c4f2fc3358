import type { JSX } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Refusal } from "../../api.ts";
import { t, translate } from "../../i18n.ts";
import type { Message } from "../../message.ts";
import { Icon } from "../../ui/icon.tsx";
import { completions, findMistake, type Mistake, words } from "./complete.ts";

/** Earlier texts that an empty box offers. */
const MOST_RECENT = 4;

/** Corrections of a mistake that one click makes: what each writes, and the text that it leads to. */
function correctionsOf(text: string, { message, position }: Refusal) {
  if (position === undefined) return [];
  const { code, params } = message as Message;
  const wrong = code === "filter-quotes" ? params?.text : params?.field;
  const right = code === "filter-quotes" ? `'${params?.text}'` : params?.near;
  if (typeof wrong !== "string" || typeof right !== "string") return [];
  const at = position - 1;
  if (!wrong || !text.startsWith(wrong, at)) return [];
  // The service names up to three near fields.
  return (code === "filter-quotes" ? [right] : right.split(" or ")).map((right) => ({
    right,
    corrected: text.slice(0, at) + right + text.slice(at + wrong.length),
  }));
}

/**
 * The filter, with its words coloured, completions at the caret, and its mistake marked in place. Arrow keys
 * choose a completion, and Enter or a click takes it; the right arrow and Ctrl-Space take the first. Tab only
 * leaves the box. `refused` is the mistake that the server found; `find` finds those that the page knows.
 */
export function FilterBox(props: {
  value: string;
  apply: (filter: string) => void;
  refused: Refusal | null;
  seen: Record<string, string[]>;
  find?: (text: string) => Mistake | null;
  label?: string;
  placeholder?: string;
  /** Texts that were applied before, the latest first. */
  recent?: readonly string[];
}) {
  const { value, apply, find = findMistake, recent = [] } = props;
  const [text, setText] = useState(value);
  const [caret, setCaret] = useState(value.length);
  const [open, setOpen] = useState(false);
  /** The completion that Enter takes; -1: none. */
  const [chosen, setChosen] = useState(-1);
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

  const { from, items: found } = completions(text, caret, props.seen);
  const before = text === "" ? recent.slice(0, MOST_RECENT) : [];
  const items = [...before, ...found].slice(0, Math.max(found.length, before.length));
  const shown = open && items.length > 0;
  const own = find(text.trimEnd());
  // A filter that is being written is unfinished; its mistake shows once it was sent, or left.
  const fault = text.trim() === value ? (own ?? props.refused) : open ? null : own;

  function take(n: number) {
    const item = items[n];
    if (item === undefined) return;
    setChosen(-1);
    if (n < before.length) {
      setText(item);
      setOpen(false);
      place.current = item.length;
      apply(item);
      return;
    }
    const put = item.endsWith(".") || item.endsWith("(") ? item : `${item} `;
    const next = text.slice(0, from) + put + text.slice(caret).trimStart();
    setText(next);
    const at = from + put.length;
    setCaret(at);
    place.current = at;
  }
  /** Whether a completion is begun at the end of the text, so that the right arrow has nowhere to go. */
  const isBegun = caret === text.length && from < caret;
  function keys(event: JSX.TargetedKeyboardEvent<HTMLInputElement>) {
    if (event.key === "Escape") {
      if (shown) setOpen(false);
      else input.current?.blur();
    } else if (shown && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      const next = event.key === "ArrowDown" ? chosen + 1 : chosen < 0 ? -1 : chosen - 1;
      setChosen((next + items.length) % items.length);
    } else if (event.key === " " && event.ctrlKey) {
      event.preventDefault();
      if (shown) take(Math.max(0, chosen));
      else setOpen(true);
    } else if (shown && event.key === "ArrowRight" && (chosen >= 0 || isBegun)) {
      event.preventDefault();
      take(Math.max(0, chosen));
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (shown && chosen >= 0) {
        take(chosen);
        return;
      }
      setOpen(false);
      apply(text.trim());
    }
  }
  const moved = (event: { currentTarget: HTMLInputElement }) => {
    setCaret(event.currentTarget.selectionStart ?? 0);
    if (marks.current) marks.current.scrollLeft = event.currentTarget.scrollLeft;
  };
  const at = fault?.position;
  const corrections = fault ? correctionsOf(text, fault) : [];

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
            aria-label={props.label ?? t("Filter")}
            aria-expanded={shown}
            aria-controls="filter-list"
            aria-activedescendant={shown && chosen >= 0 ? `filter-item-${chosen}` : undefined}
            aria-invalid={fault !== null}
            aria-describedby={fault ? "filter-fault" : undefined}
            autoComplete="off"
            autoCapitalize="off"
            spellcheck={false}
            placeholder={props.placeholder ?? t("lora_rank = 64 and final_loss < 0.3")}
            value={text}
            onInput={(event) => {
              setText(event.currentTarget.value);
              setOpen(true);
              setChosen(-1);
              moved(event);
            }}
            onFocus={() => setOpen(true)}
            onBlur={() => {
              setOpen(false);
              setChosen(-1);
              if (text.trim() !== value && find(text) === null) apply(text.trim());
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
          {corrections.map(({ right, corrected }) => (
            <button
              key={right}
              type="button"
              class="button small"
              onClick={() => {
                setText(corrected);
                apply(corrected.trim());
              }}
            >
              {t("Write {name}", { name: right })}
            </button>
          ))}
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
            onClick={() => take(n)}
          >
            {n < before.length && <Icon name="again" />}
            <span class="clip">{item}</span>
          </div>
        ))}
        <p class="filter-hint muted" aria-hidden="true">
          <kbd>↑</kbd>
          <kbd>↓</kbd> {t("choose")} <kbd>→</kbd> {t("takes it")} <kbd>Enter</kbd> {t("filters")}
        </p>
      </div>
    </div>
  );
}
