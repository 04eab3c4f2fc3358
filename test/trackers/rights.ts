/*
 * What the tables of trackers' routes are made of. Each protocol has a file `rights-NAME.ts` beside this one
 * that exports `covers` and `rights`; test/tracker-rights.test.ts finds the files, asks every line with every
 * role and scope, and fails on a route that a table covers and has no line of.
 */
import type { Scope } from "../../src/shared/scopes.ts";

export type Target = {
  /** The key, as its client brings it. */
  key: string;
  /** A run of the ledger: in `reach` another user's. */
  task: number;
};

export type TrackerRights = {
  /** Without it the key is refused with 403; null: any key that is good. */
  scope: Scope | null;
  /** Whether keys of boxes may call it. */
  box: boolean;
  /** Whether it names a run by `target.task`, or by a run handed down with the key: of another user's it answers 404. */
  reach?: "task" | "joins";
  /** The request; it may ask for a token with `request` first. */
  ask: (
    target: Target,
    request: (path: string, init?: RequestInit) => Promise<Response>,
  ) => Promise<{ path: string } & RequestInit> | ({ path: string } & RequestInit);
};

/** One file of the tables. */
export type TrackerTable = {
  /** Whether a route's path belongs to this protocol. */
  covers: (path: string) => boolean;
  /** By `METHOD /path` as the app registers it. */
  rights: Record<string, TrackerRights>;
  /** Routes that take no key. */
  open?: string[];
};

export const json = (
  path: string,
  body: unknown,
  headers: Record<string, string>,
  method = "POST",
) => ({
  ...{ path, method },
  headers: { ...headers, "Content-Type": "application/json" },
  body: JSON.stringify(body),
});
