import type { ComponentChildren } from "preact";
import { explainError, Problem } from "../api.ts";
import { t } from "../i18n.ts";
import { Icon, type IconName } from "./icon.tsx";

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

/** What went wrong, and the way on. */
export function Trouble({ error, again }: { error: unknown; again?: () => void }) {
  const unreachable = error instanceof Problem && error.status === 0;
  return (
    <div class="note bad" role="alert">
      <Icon name="warn" />
      <div class="grow">
        <p>{unreachable ? t("The ledger cannot be reached just now.") : explainError(error)}</p>
        {unreachable && (
          <p class="muted">{t("Check your connection; this page tries again by itself.")}</p>
        )}
      </div>
      {again && (
        <button type="button" class="button small" onClick={again}>
          {t("Try again")}
        </button>
      )}
    </div>
  );
}

export const Skeleton = ({ lines = 4 }: { lines?: number }) => (
  <div class="stack" aria-busy="true" aria-label={t("Loading")} role="status">
    {Array.from({ length: lines }, (_, n) => (
      <div key={n} class="skeleton" style={{ width: `${90 - ((n * 37) % 45)}%` }} />
    ))}
  </div>
);

/** What to do where there is nothing to see yet. */
export const Empty = (props: { icon: IconName; title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <Icon name={props.icon} />
    <h2>{props.title}</h2>
    {props.children}
  </div>
);

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
