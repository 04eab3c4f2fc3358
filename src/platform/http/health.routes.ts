import { sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import type { App } from "./context.ts";
import { describe } from "./validate.ts";

const answer = z.object({ database: z.boolean(), bucket: z.boolean(), checked_at: z.string() });

const CACHE_MS = 10_000;
let last: { at: number; body: z.infer<typeof answer> } | undefined;

export const health = new Hono<App>().get(
  "/",
  describe({
    summary: "Whether database and bucket answer",
    description: "Checked at most every 10 seconds. 503 if one of them does not answer.",
    tag: "Service",
    open: true,
    answer: { schema: answer, description: "Both answer." },
    errors: { 503: { schema: answer, description: "One of them does not." } },
  }),
  async (c) => {
    if (!last || Date.now() - last.at > CACHE_MS) {
      const answers = (check: Promise<unknown>) =>
        check.then(
          () => true,
          () => false,
        );
      const [database, bucket] = await Promise.all([
        answers(c.var.db.run(sql`select 1`)),
        answers(c.env.BUCKET.head("health")),
      ]);
      last = { at: Date.now(), body: { database, bucket, checked_at: new Date().toISOString() } };
    }
    return c.json(last.body, last.body.database && last.body.bucket ? 200 : 503);
  },
);
