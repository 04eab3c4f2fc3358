import type { ComponentChildren } from "preact";

/** Scrolls content that is wider than the page, also by keys. */
export const Scroll = (props: { label: string; class?: string; children: ComponentChildren }) => (
  // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reached by keys.
  <div class={`scroll-x ${props.class ?? ""}`} tabIndex={0} role="region" aria-label={props.label}>
    {props.children}
  </div>
);

/** A column's name, with the class of its cells where it has one. */
type Head = string | readonly [text: string, kind: string];
const headOf = (head: Head) => (typeof head === "string" ? ([head, undefined] as const) : head);

/** Rows below their heads; `last` names a column of buttons or bars for screen readers. */
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
