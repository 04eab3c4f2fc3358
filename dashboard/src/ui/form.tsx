import type { ComponentChildren, JSX } from "preact";
import { useState } from "preact/hooks";
import { t } from "../i18n.ts";
import { Icon } from "./icon.tsx";
import { Dialog, Scroll, Skeleton, Trouble } from "./parts.tsx";

/** A dialog that asks for something and sends it; where that fails it stays, and says why. */
export function Ask(props: {
  title: string;
  submit: string;
  ready?: boolean;
  close: () => void;
  send: () => Promise<unknown>;
  children?: ComponentChildren;
}) {
  const [error, setError] = useState<unknown>(null);
  const [sending, setSending] = useState(false);
  const send = async (event: Event) => {
    event.preventDefault();
    setSending(true);
    setError(null);
    try {
      await props.send();
    } catch (thrown) {
      setError(thrown);
    } finally {
      setSending(false);
    }
  };
  return (
    <Dialog title={props.title} close={props.close}>
      <form class="stack" onSubmit={send}>
        {props.children}
        {error !== null && <Trouble error={error} />}
        <div class="actions">
          <button type="button" class="button" onClick={props.close}>
            {t("Back")}
          </button>
          <button type="submit" class="button primary" disabled={sending || props.ready === false}>
            {props.submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

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

/** What a query gives; until then that it is on its way, or why it did not come. */
export function Loaded<T>(props: {
  query: { data: T | undefined; error: unknown; refetch: () => unknown };
  lines?: number;
  children: (data: T) => ComponentChildren;
}) {
  const { data, error, refetch } = props.query;
  // What is shown stays, where only a refresh failed.
  if (error && data === undefined)
    return (
      <div class="body">
        <Trouble error={error} again={() => void refetch()} />
      </div>
    );
  if (data === undefined)
    return (
      <div class="body">
        <Skeleton lines={props.lines} />
      </div>
    );
  return <>{props.children(data)}</>;
}

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

/** A button of one row, whose name says of which. */
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

/** A column's name, with the class of its cells where it has one. */
type Head = string | readonly [text: string, kind: string];
const headOf = (head: Head) => (typeof head === "string" ? ([head, undefined] as const) : head);

/** Rows below their heads; `last` names a column of buttons or bars for who cannot see what it is. */
export const Table = (props: {
  label: string;
  kind?: string;
  heads: readonly Head[];
  last?: Head;
  children: ComponentChildren;
}) => {
  const [last, lastKind] = headOf(props.last ?? "");
  return (
    <Scroll label={props.label}>
      <table class={`plain ${props.kind ?? ""}`}>
        <thead>
          <tr>
            {props.heads.map(headOf).map(([text, kind], n) => (
              <th key={n} class={kind}>
                {text}
              </th>
            ))}
            {last && (
              <th class={lastKind}>
                <span class="visually-hidden">{last}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>{props.children}</tbody>
      </table>
    </Scroll>
  );
};

/** Goes on with a list, where there is more of it. */
export const ShowMore = (props: {
  query: { hasNextPage: boolean; isFetchingNextPage: boolean; fetchNextPage: () => unknown };
  text?: string;
}) =>
  props.query.hasNextPage ? (
    <div class="body">
      <button
        type="button"
        class="button small"
        disabled={props.query.isFetchingNextPage}
        onClick={() => void props.query.fetchNextPage()}
      >
        {props.text ?? t("Show more")}
      </button>
    </div>
  ) : null;
