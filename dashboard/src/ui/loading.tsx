import type { ComponentChildren } from "preact";
import { explainError, Problem } from "../api.ts";
import { t } from "../i18n.ts";
import { useTitle } from "../title.ts";
import { Icon, type IconName } from "./icon.tsx";

type Query<T> = { data: T | undefined; error: unknown; refetch: () => unknown };

/** The data of a query; until they are there a placeholder, or the error with a way on. */
export function Loaded<T>(props: {
  query: Query<T>;
  /** Lines of the placeholder; 0 shows none. */
  lines?: number;
  /** Shows an error in the page's own words; undefined leaves it to the common ones. */
  failed?: (error: unknown) => ComponentChildren | undefined;
  children: (data: T) => ComponentChildren;
}) {
  const { data, error, refetch } = props.query;
  // Data on the page stay there where only their refresh failed.
  if (data !== undefined) return <>{props.children(data)}</>;
  if (error) {
    const own = props.failed?.(error);
    if (own !== undefined) return <>{own}</>;
    return (
      <div class="body">
        <Trouble error={error} again={() => void refetch()} />
      </div>
    );
  }
  if (props.lines === 0) return null;
  return (
    <div class="body">
      <Skeleton lines={props.lines} />
    </div>
  );
}

/** Two queries as one: it has data when both have, and the error of the first that failed. */
export const both = <A, B>(a: Query<A>, b: Query<B>): Query<readonly [A, B]> => ({
  data: a.data === undefined || b.data === undefined ? undefined : [a.data, b.data],
  error: a.error ?? b.error,
  refetch: () => Promise.all([a.refetch(), b.refetch()]),
});

/** An error in words, and the way on. */
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

/** An empty list or page, with what to do next. */
export const Empty = (props: { icon: IconName; title: string; children?: ComponentChildren }) => (
  <div class="empty">
    <Icon name={props.icon} />
    <h2>{props.title}</h2>
    {props.children}
  </div>
);

/** The page of an address that nothing has. */
export function Nowhere() {
  const title = t("There is no such page");
  useTitle(title);
  return (
    <div class="page">
      <h1 class="visually-hidden">{title}</h1>
      <Empty icon="search" title={title}>
        <p>{t("The link is wrong, or the page has moved.")}</p>
        <a class="button" href="/runs">
          {t("To the runs")}
        </a>
      </Empty>
    </div>
  );
}

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
