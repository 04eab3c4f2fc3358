import { app } from "./app.ts";
import type { Bindings } from "./env.ts";
import { runSchedule } from "./schedule.ts";

export default {
  fetch: app.fetch,
  scheduled: (_event, env, ctx) => ctx.waitUntil(runSchedule(env)),
} satisfies ExportedHandler<Bindings>;
