import type { Context } from "hono";
import type { App } from "../http/context.ts";
import { ApiError, refuse } from "../http/problem.ts";

/** Periods as wrangler.toml sets them: the binding does not state them. */
const CALLER_PERIOD_SEC = 10;
const FAILURE_PERIOD_SEC = 60;

const tooMany = (name: "key" | "user" | "failures", seconds: number) =>
  refuse(
    "too-many-requests",
    { case: name, seconds },
    { headers: { "Retry-After": String(seconds) } },
  );

/** Whether `key` is still within a limit. Platform trouble lets everyone pass rather than nobody. */
async function isWithin(
  c: Context<App>,
  name: "KEY_LIMIT" | "USER_LIMIT" | "FAILURE_LIMIT",
  key: string,
) {
  const limit = c.env[name];
  if (!c.var.config.RATE_LIMITS || !limit) return true;
  try {
    return (await limit.limit({ key })).success;
  } catch (error) {
    console.warn("a rate limit was not checked", error instanceof Error ? error.name : "");
    return true;
  }
}

/**
 * Counts a request of a key, its sessions' among them, and of its user, whose keys are many. What a
 * key sends beyond its own limit does not count against its user's other keys. Throws ApiError 429.
 */
export async function limitCaller(c: Context<App>, caller: { keyId: number; userId: number }) {
  if (!(await isWithin(c, "KEY_LIMIT", String(caller.keyId))))
    throw tooMany("key", CALLER_PERIOD_SEC);
  if (!(await isWithin(c, "USER_LIMIT", String(caller.userId))))
    throw tooMany("user", CALLER_PERIOD_SEC);
}

/** Counts a guess at a key or a link by its address: gives the refusal, or 429 where they are too many. */
export const countFailure = async (c: Context<App>, refusal: ApiError): Promise<ApiError> =>
  (await isWithin(c, "FAILURE_LIMIT", c.var.address ?? "unknown"))
    ? refusal
    : tooMany("failures", FAILURE_PERIOD_SEC);

/**
 * Runs what authenticates; failures (401) count by address, and too many become 429. Keys that are
 * good never wait for others' failures from the same address.
 */
export async function limitFailures<T>(c: Context<App>, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof ApiError && error.status === 401 ? await countFailure(c, error) : error;
  }
}
