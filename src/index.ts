import { consume } from "./alerts/outbox.ts";
import { app } from "./app.ts";
import type { Bindings } from "./env.ts";
import { runSchedule } from "./schedule.ts";

export default {
  fetch: app.fetch,
  queue: (batch, env) => consume(batch, env),
  scheduled: (_event, env, ctx) => ctx.waitUntil(runSchedule(env)),
} satisfies ExportedHandler<Bindings>;
