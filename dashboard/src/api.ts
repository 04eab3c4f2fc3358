import { hc } from "hono/client";
import type { AppType } from "../../src/app.ts";
import { t, translate } from "./i18n.ts";
import type { Message } from "./message.ts";

/** The typed client of the public API; the browser adds the session's cookie. */
export const { api, session } = hc<AppType>("/", {
  fetch: (input: RequestInfo | URL, init?: RequestInit) => fetch(input, init).catch(unreachable),
});

/** The refusal of a request: an RFC 9457 problem of the service, or status 0 where it is out of reach. */
export class Problem extends Error implements Message {
  readonly status: number;
  readonly code: string;
  readonly params: Record<string, unknown>;
  readonly faults: NonNullable<Message["faults"]>;
  readonly position: number | undefined;
  /** Who was first, of a change that came too late. */
  readonly by: string | undefined;
  constructor(
    status: number,
    detail: string,
    more: { code?: string; position?: number; by?: string } & Pick<
      Message,
      "params" | "faults"
    > = {},
  ) {
    super(detail);
    this.status = status;
    this.code = more.code ?? "";
    this.params = more.params ?? {};
    this.faults = more.faults ?? [];
    this.position = more.position;
    this.by = more.by;
  }
}

/** Explains an error to a person, in the language in use. */
export const explainError = (error: unknown): string =>
  error instanceof Problem
    ? translate(error)
    : error instanceof Error
      ? error.message
      : t("Something went wrong.");

/**
 * The mistake that the service found in a request's filter; null for any other error. The page sent
 * the filter behind `ahead` characters of its own.
 */
export function refusalOf(error: unknown, ahead = 0): Refusal | null {
  if (!(error instanceof Problem) || error.status !== 422) return null;
  const { position } = error;
  const [fault] = error.faults;
  // The box marks the place itself, so it shows the mistake without "at character n".
  const message = fault?.code
    ? { ...fault, code: fault.code, message: fault.message ?? "" }
    : error;
  return { message, ...(position !== undefined && { position: position - ahead }) };
}

/** A mistake in a filter, and the character (from 1) that it begins at. */
export type Refusal = { message: Message; position?: number };

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
  const field = (name: string): unknown =>
    typeof body === "object" && body !== null ? Reflect.get(body, name) : undefined;
  const position = field("position");
  const by = field("by");
  const params = field("params");
  const faults = field("errors");
  return new Problem(
    response.status,
    String(field("detail") ?? (response.statusText || `Status ${response.status}`)),
    {
      code: String(field("code") ?? ""),
      ...(typeof params === "object" && params !== null && { params: { ...params } }),
      ...(Array.isArray(faults) && { faults }),
      ...(typeof position === "number" && { position }),
      ...(typeof by === "string" && { by }),
    },
  );
}

/** Called when the session has ended; the app shows the sign-in page. */
let signedOut = () => {};
export const onSignedOut = (listener: () => void) => {
  signedOut = listener;
};

/** Reads the body of a successful answer; throws a Problem for any other. */
export async function read<R extends Answer<unknown>>(
  asked: Promise<R>,
): Promise<Awaited<ReturnType<R["json"]>>> {
  const response = await asked;
  // The type of the route says what its JSON is.
  if (response.ok) return (await response.json()) as Awaited<ReturnType<R["json"]>>;
  if (response.status === 401) signedOut();
  throw await toProblem(response);
}

/** Waits for a successful answer without a body; throws a Problem for any other. */
export async function expectSuccess(asked: Promise<Answer<unknown>>): Promise<void> {
  const response = await asked;
  if (response.ok) return;
  if (response.status === 401) signedOut();
  throw await toProblem(response);
}

/** Reads the text of a file of the API. */
export async function readText(path: string): Promise<string> {
  const response = await fetch(path).catch(unreachable);
  if (!response.ok) throw await toProblem(response);
  return response.text();
}

/** The bytes of a file of the API, as they come. */
export async function readBytes(path: string, signal: AbortSignal) {
  const response = await fetch(path, { signal }).catch(unreachable);
  if (response.status === 401) signedOut();
  if (!response.ok || !response.body) throw await toProblem(response);
  return response.body;
}

/** Reads an answer where it differs from the one with `etag`; null where nothing has changed. */
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
