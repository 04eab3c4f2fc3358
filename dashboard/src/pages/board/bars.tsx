/** A bar of several parts, as wide as its share of the longest; the numbers beside it say the same. */
export const Parts = (props: { of: number; parts: (readonly [kind: string, size: number])[] }) => (
  <span class="parts" aria-hidden="true">
    {props.parts.map(([kind, size]) =>
      size > 0 && props.of > 0 ? (
        <i key={kind} class={kind} style={{ width: `${(size / props.of) * 100}%` }} />
      ) : null,
    )}
  </span>
);
