/** Goes on with the runs of a demo that still train, so that its pages move as those of a ledger in use. */
import * as z from "zod";
import type { Training } from "./demo.ts";

/** Seconds between two heartbeats of a run, well below the time after which it would be lost. */
const BEAT_SEC = 10;
const SECONDS_A_STEP = 1.1;

/** Trains on until this process ends. A run that reaches its last step ends with success. */
export function trainOn(url: string, runs: Training[]): void {
  const ask = (key: string, path: string, json: unknown) =>
    fetch(`${url}${path}`, {
      method: "POST",
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      body: JSON.stringify(json),
    });
  async function beat(run: Training) {
    const from = run.step;
    run.step = Math.min(run.total, from + Math.round(BEAT_SEC / SECONDS_A_STEP));
    run.seq++;
    const logs = Array.from({ length: run.step - from }, (_, i) => ({
      step: from + i + 1,
      metrics: { loss: run.floor * (0.72 + Math.random() * 0.56) },
    }));
    const eta = Math.round((run.total - run.step) * SECONDS_A_STEP);
    const progress = { step: run.step, total_steps: run.total, eta_sec: eta };
    const body = { attempt: 1, seq: run.seq, progress, logs };
    const answer = await ask(run.key, `/api/tasks/${run.id}/heartbeat`, body);
    // Somebody who plays with the demo may have cancelled, deleted or ended it.
    const cancel =
      !answer.ok ||
      z.object({ cancel_requested: z.boolean() }).parse(await answer.json()).cancel_requested;
    if (cancel || run.step === run.total) {
      const status = cancel ? "cancelled" : "success";
      await ask(run.key, `/api/tasks/${run.id}/finish`, { attempt: 1, status });
      clearInterval(timers.get(run.id));
    }
  }
  const timers = new Map(
    runs.map((run) => [
      run.id,
      // What the ledger does not take while it ends is the demo's loss.
      setInterval(() => beat(run).catch(() => {}), BEAT_SEC * 1000).unref(),
    ]),
  );
}
