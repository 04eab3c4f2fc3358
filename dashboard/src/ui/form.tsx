import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { t } from "../i18n.ts";

type Input = Pick<
  JSX.InputHTMLAttributes<HTMLInputElement>,
  "type" | "required" | "maxLength" | "min" | "max" | "step" | "placeholder" | "autoComplete"
>;

export const TextField = (
  props: Input & { label: string; value: string; change: (value: string) => void },
) => {
  const { label, change, ...input } = props;
  return (
    <label class="labelled">
      {label}
      <input {...input} class="field" onInput={(event) => change(event.currentTarget.value)} />
    </label>
  );
};

export const LongField = (props: {
  label: string;
  value: string;
  most: number;
  change: (value: string) => void;
}) => (
  <label class="labelled">
    {props.label}
    <textarea
      class="field"
      maxLength={props.most}
      value={props.value}
      onInput={(event) => props.change(event.currentTarget.value)}
    />
  </label>
);

export const Choice = <T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [T, string])[];
  choose: (value: T) => void;
}) => (
  <label class="labelled">
    {props.label}
    <select
      class="field"
      value={props.value}
      onChange={(event) => {
        const chosen = props.options.find(([value]) => value === event.currentTarget.value);
        if (chosen) props.choose(chosen[0]);
      }}
    >
      {props.options.map(([value, text]) => (
        <option key={value} value={value}>
          {text}
        </option>
      ))}
    </select>
  </label>
);

export const Check = (props: {
  label: ComponentChildren;
  checked: boolean;
  change: (checked: boolean) => void;
}) => (
  <label class="check">
    <input
      type="checkbox"
      checked={props.checked}
      onChange={(event) => props.change(event.currentTarget.checked)}
    />
    {props.label}
  </label>
);

/** Adds a field of the filter language by its name. */
export function AddField(props: { class?: string; add: (name: string) => void }) {
  const [name, setName] = useState("");
  return (
    <form
      class={`row ${props.class ?? ""}`}
      onSubmit={(event) => {
        event.preventDefault();
        if (name.trim()) props.add(name.trim());
        setName("");
      }}
    >
      <input
        class="field small mono"
        aria-label={t("Another field")}
        placeholder="config.min_snr_gamma"
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button type="submit" class="button small" disabled={!name.trim()}>
        {t("Add")}
      </button>
    </form>
  );
}

/** A few choices side by side; one that cannot be made says why. */
export function Segments<T extends string>(props: {
  label: string;
  value: T;
  options: readonly (readonly [value: T, text: string, why?: string])[];
  choose: (value: T) => void;
}) {
  return (
    <div class="segments" role="group" aria-label={props.label}>
      {props.options.map(([value, text, why]) => (
        <button
          key={value}
          type="button"
          aria-pressed={value === props.value}
          aria-disabled={why !== undefined}
          title={why}
          onClick={() => why === undefined && props.choose(value)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
