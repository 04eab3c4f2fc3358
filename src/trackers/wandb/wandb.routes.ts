import { Hono } from "hono";
import type { App } from "../../platform/http/context.ts";

const sentence =
  "The ledger does not answer W&B's online protocol, which has no stable form. Unset WANDB_BASE_URL and record the run with `lora-ledger run --wandb offline`, which reads what W&B's client writes to the disk: see docs/trackers.md.";

/**
 * The address that WANDB_BASE_URL may name: each call is answered 501, in the forms in which W&B's client looks
 * for a reason, so that the trainer's user reads it at once. Nothing is looked up, and no key is read.
 */
export const wandb = new Hono<App>().all("/*", (c) =>
  c.json({ error: sentence, message: sentence, errors: [{ message: sentence }] }, 501),
);
