/*
 * Requests to an MLflow tracking server, and what its answers mean for a mirror. The calls are those that
 * MLflow's own clients make: https://mlflow.org/docs/latest/rest-api.html.
 */
import { addressFault } from "../../alerts/address.ts";
import type { Config } from "../../env.ts";
import type { mirror } from "../../platform/db/schema.ts";
import { base64 } from "../../platform/http/encode.ts";
import { cleanText, cutText } from "../../platform/http/text.ts";
import type { JsonValue } from "../../shared/json.ts";

const TIMEOUT_MS = 10_000;
/** Bytes of an answer: a run with its settings takes some 10 kB. */
const MOST_READ = 1_000_000;
/** Characters of another server's message. */
const MOST_SAID = 300;
const LONGEST_WAIT_SEC = 3600;

export type Server = Pick<typeof mirror.$inferSelect, "url" | "token">;

/** What a mirror may still ask its server in this turn, and until when (ms since 1970). */
export type Turn = { left: number; until: number };

/** The turn is over; the next minute continues. */
export class TurnOver extends Error {}

/**
 * A request that did not succeed. `of` says whose fault it is: of the `server` as a whole, which is asked
 * again later, or of this `run`, which waits for a person. `code` is MLflow's.
 */
export class MirrorFault extends Error {
  readonly of: "server" | "run";
  readonly status: number | null;
  readonly code: string | null;
  /** Seconds that the server asks to wait. */
  readonly waitSec: number;
  constructor(
    of: "server" | "run",
    status: number | null,
    message: string,
    { code = null, waitSec = 0 }: { code?: string | null; waitSec?: number } = {},
  ) {
    super(message);
    this.of = of;
    this.status = status;
    this.code = code;
    this.waitSec = waitSec;
  }
}

/** The address without slashes at its end. */
export const baseOf = (url: string) => url.replace(/\/+$/, "");

/** Why a mirror may not have this address, in words; null when it may. */
export function mirrorAddressFault(url: string, config: Config): string | null {
  if (URL.canParse(url)) {
    const { username, password, search, hash } = new URL(url);
    if (username || password)
      return "must not hold a user name or password: give them as the token";
    if (search || hash || /[?#]/.test(url))
      return "must be the address of the server alone, without ? and #";
  }
  return addressFault(url, config.ALLOW_INSIDE_WEBHOOKS);
}

/** The Authorization header: `user:password` is Basic, everything else a bearer token. */
function authorization(token: string | null): Record<string, string> {
  if (token === null) return {};
  return {
    Authorization: token.includes(":")
      ? `Basic ${base64(new TextEncoder().encode(token))}`
      : `Bearer ${token}`,
  };
}

/** Words of the other server as they may be kept and shown: short, clean, and without the token. */
function quote(text: string, token: string | null): string {
  const secrets =
    token === null ? [] : [token, ...(token.includes(":") ? token.split(/:(.*)/s) : [])];
  const safe = secrets
    .filter((secret) => secret.length > 3)
    .reduce((said, secret) => said.replaceAll(secret, "[redacted]"), text);
  const line = cleanText(safe).replace(/\s+/g, " ").trim();
  return line.length > MOST_SAID ? `${cutText(line, 0, MOST_SAID - 1)}…` : line;
}

/** The answer as text; null where it is longer than any that MLflow gives here. */
async function readText(response: Response): Promise<string | null> {
  const reader = response.body?.getReader();
  if (!reader) return "";
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.length;
    if (size > MOST_READ) {
      await reader.cancel();
      return null;
    }
    text += decoder.decode(value, { stream: true });
  }
}

export type Answer = { [name: string]: JsonValue };

function parseObject(text: string): Answer | null {
  try {
    const value: unknown = text === "" ? {} : JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Answer)
      : null;
  } catch {
    return null;
  }
}

/** Seconds that `Retry-After` asks for, by its number or its date. */
function waitOf(response: Response): number {
  const header = response.headers.get("Retry-After") ?? "";
  const seconds = /^\d+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return seconds > 0 ? Math.min(seconds, LONGEST_WAIT_SEC) : 0;
}

/** Throws what a status other than success means. */
function refuseAnswer(response: Response, text: string | null, token: string | null): never {
  const { status } = response;
  if (status >= 300 && status < 400)
    throw new MirrorFault(
      "server",
      status,
      `was answered ${status}, a redirect, which is not followed: give the address it leads to`,
    );
  const said = text === null ? null : parseObject(text);
  const code = typeof said?.error_code === "string" ? quote(said.error_code, token) : null;
  const words = typeof said?.message === "string" ? quote(said.message, token) : "";
  const reason = `was answered ${status}${code ? ` ${code}` : ""}${words ? `: ${words}` : ""}`;
  if (status === 401)
    throw new MirrorFault(
      "server",
      status,
      "was answered 401: the server does not accept the token",
    );
  if (status >= 500 || status === 408 || status === 425 || status === 429)
    throw new MirrorFault("server", status, reason, { code, waitSec: waitOf(response) });
  // MLflow's own refusals have a code. Without one something else answers, or it refuses every request.
  if (code !== null || status === 403) throw new MirrorFault("run", status, reason, { code });
  throw new MirrorFault(
    "server",
    status,
    `was answered ${status} without MLflow's error code: is this the address of an MLflow tracking server?`,
  );
}

/**
 * Asks the server `path` below MLflow's API: POST with a body, GET with a query. Redirects are not followed.
 * Throws TurnOver before a request that the turn has no more room for, and MirrorFault.
 */
export async function ask(
  server: Server,
  config: Config,
  turn: Turn,
  path: string,
  { body, query }: { body?: object; query?: Record<string, string> },
): Promise<Answer> {
  if (turn.left <= 0 || Date.now() > turn.until) throw new TurnOver();
  turn.left--;
  const fault = mirrorAddressFault(server.url, config);
  if (fault) throw new MirrorFault("server", null, `was not asked: the address ${fault}`);
  const search = query ? `?${new URLSearchParams(query)}` : "";
  let response: Response;
  let text: string | null;
  try {
    response = await fetch(`${baseOf(server.url)}/api/2.0/mlflow/${path}${search}`, {
      method: body ? "POST" : "GET",
      headers: {
        ...authorization(server.token),
        ...(body && { "Content-Type": "application/json" }),
        Accept: "application/json",
        "User-Agent": "lora-ledger",
      },
      body: body && JSON.stringify(body),
      redirect: "manual",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    text = await readText(response);
  } catch (cause) {
    const late = cause instanceof Error && cause.name === "TimeoutError";
    throw new MirrorFault(
      "server",
      null,
      late ? `gave no answer within ${TIMEOUT_MS / 1000} seconds` : "cannot be reached",
    );
  }
  // MLflow's clients take nothing else for a success.
  if (response.status !== 200) refuseAnswer(response, text, server.token);
  const answer = text === null ? null : parseObject(text);
  if (answer === null)
    throw new MirrorFault(
      "server",
      200,
      `was answered ${text === null ? "at too great length" : "by something other than JSON"}: is this the address of an MLflow tracking server?`,
    );
  return answer;
}
