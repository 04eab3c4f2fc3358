import type { Context } from "hono";
import { requireKeyFrom } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { limitBody } from "../../platform/http/validate.ts";

/** The key of a call of Trackio's client. */
export const keyOf = (c: Context<App>) =>
  c.req.header("X-Trackio-Write-Token") ?? c.req.query("write_token");

/** Bytes of one call. */
const MOST_BYTES = 8_000_000;

/** What comes before each of Trackio's calls, which lie beside the ledger's own: its key, and the body's bound. */
export const key = [requireKeyFrom(keyOf), limitBody(MOST_BYTES)] as const;
