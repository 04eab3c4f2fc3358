import { useState } from "preact/hooks";
import { t } from "../i18n.ts";
import { Icon } from "./icon.tsx";

/** A button of a table's row, whose accessible name includes the row's. */
export const RowButton = (props: {
  text: string;
  name: string;
  danger?: boolean;
  act: () => void;
}) => (
  <button
    type="button"
    class={`button small ${props.danger ? "danger" : ""}`}
    aria-label={props.name}
    onClick={props.act}
  >
    {props.text}
  </button>
);

/** The button that begins something new. */
export const NewButton = ({ label, make }: { label: string; make: () => void }) => (
  <button type="button" class="button primary small" onClick={make}>
    <Icon name="plus" />
    {label}
  </button>
);

/** Copies a text, and shows for a moment that it did. */
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
