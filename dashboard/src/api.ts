import { hc } from "hono/client";
import type { AppType } from "../../src/app.ts";
import { t, translate } from "./i18n.ts";
import type { Said } from "./said.ts";

/** The typed client of the public API; the session's cookie goes along by itself. */
export const { api, session } = hc<AppType>("/", {
  fetch: (input: RequestInfo | URL, init?: RequestInit) => fetch(input, init).catch(unreachable),
});

/** What the service answered instead of what was asked for: an RFC 9457 problem. */
export class Problem extends Error implements Said {
  readonly status: number;
  readonly code: string;
  readonly params: Record<string, unknown>;
  readonly faults: NonNullable<Said["faults"]>;
  readonly position: number | undefined;
  constructor(
    status: number,
    detail: string,
    more: { code?: string; position?: number } & Pick<Said, "params" | "faults"> = {},
  ) {
    super(detail);
    this.status = status;
    this.code = more.code ?? "";
    this.params = more.params ?? {};
    this.faults = more.faults ?? [];
    this.position = more.position;
  }
}

/** What went wrong, for a person. */
export const said = (error: unknown): string =>
  error instanceof Problem
    ? translate(error)
    : error instanceof Error
      ? error.message
      : t("Something went wrong.");

/** What the service finds wrong with a filter it was asked by; null where that is not what is wrong. */
export function refusalOf(error: unknown): Refusal | null {
  if (!(error instanceof Problem) || error.status !== 422) return null;
  const { position } = error;
  const [fault] = error.faults;
  // The box marks the place itself, so the mistake alone is said.
  const said = fault?.code ? { ...fault, code: fault.code, message: fault.message ?? "" } : error;
  return { said, ...(position !== undefined && { position }) };
}

/** What is wrong with a filter, and at which character (from 1). */
export type Refusal = { said: Said; position?: number };

function unreachable(error: unknown): never {
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  throw new Problem(0, t("The ledger cannot be reached just now."));
}

type Answer<T> = {
  ok: boolean;
  status: number;
  statusText: string;
  json(): Promise<T>;
};

async function toProblem(response: Pick<Response, "status" | "statusText" | "json">) {
  const body: unknown = await response.json().catch(() => null);
  const said = (name: string): unknown =>
    typeof body === "object" && body !== null ? Reflect.get(body, name) : undefined;
  const position = said("position");
  const params = said("params");
  const faults = said("errors");
  return new Problem(
    response.status,
    String(said("detail") ?? (response.statusText || `Status ${response.status}`)),
    {
      code: String(said("code") ?? ""),
      ...(typeof params === "object" && params !== null && { params: { ...params } }),
      ...(Array.isArray(faults) && { faults }),
      ...(typeof position === "number" && { position }),
    },
  );
}

/** Told when the session turns out to have ended; the app shows the sign-in page. */
let signedOut = () => {};
export const onSignedOut = (tell: () => void) => {
  signedOut = tell;
};

/** Waits for an answer and reads it; anything but success is thrown as a Problem. */
export async function read<R extends Answer<unknown>>(
  asked: Promise<R>,
): Promise<Awaited<ReturnType<R["json"]>>> {
  const response = await asked;
  // What json() gives is what the route's type says it gives.
  if (response.ok) return (await response.json()) as Awaited<ReturnType<R["json"]>>;
  if (response.status === 401) signedOut();
  throw await toProblem(response);
}

/** As read(), of an answer without a body. */
export async function done(asked: Promise<Answer<unknown>>): Promise<void> {
  const response = await asked;
  if (response.ok) return;
  if (response.status === 401) signedOut();
  throw await toProblem(response);
}

/** The text of a file that the API gives. */
export async function readText(path: string): Promise<string> {
  const response = await fetch(path).catch(unreachable);
  if (!response.ok) throw await toProblem(response);
  return response.text();
}

/** Asks only for what changed since `etag`: null where nothing has. */
export async function readChanged<T>(
  ask: (headers: Record<string, string>) => Promise<Answer<T> & { headers: Headers }>,
  etag: string,
): Promise<{ body: T; etag: string } | null> {
  const response = await ask(etag ? { "If-None-Match": etag } : {});
  if (response.status === 304) return null;
  if (!response.ok) {
    if (response.status === 401) signedOut();
    throw await toProblem(response);
  }
  return { body: await response.json(), etag: response.headers.get("ETag") ?? "" };
}

type Page<T> = { items: T[]; next_cursor: string | null };

/** A list that is loaded page after page, as parts of an infinite query: its data are the items so far. */
export const inPages = <T>(
  ask: (query: { limit: string; cursor?: string }) => Promise<Page<T>>,
  limit = 50,
) => ({
  initialPageParam: "",
  queryFn: ({ pageParam }: { pageParam: string }) =>
    ask({ limit: String(limit), ...(pageParam && { cursor: pageParam }) }),
  getNextPageParam: ({ next_cursor }: Page<T>) => next_cursor,
  select: ({ pages }: { pages: Page<T>[] }) => pages.flatMap(({ items }) => items),
});
