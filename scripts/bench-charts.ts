/**
 * `node scripts/run.mjs bench-charts`: how long frames take while a chart of 20 runs of 1,000 points is zoomed by
 * the wheel and moved by dragging, in a real Chromium. Prints the median and the 95th percentile of the time
 * between frames, and of the work in each. `npm run build` comes first.
 */
import type { Page } from "playwright-core";
import { openPages } from "../test/browser.ts";
import { startStack } from "../test/stack.ts";
import { isMain, main } from "./local/say.ts";

const RUNS = 20;
const POINTS = 1000;
const MOVES = 120;

/** Notes when each frame begins, and how long its work takes until the browser is free again. */
const watch = `(() => {
  const frames = [];
  const work = [];
  let before = performance.now();
  window.watchedFrames = { frames, work, running: true };
  const next = () => requestAnimationFrame((now) => {
    frames.push(now - before);
    before = now;
    const channel = new MessageChannel();
    channel.port1.onmessage = () => work.push(performance.now() - now);
    channel.port2.postMessage(null);
    if (window.watchedFrames.running) next();
  });
  next();
})()`;

const at = (sorted: number[], share: number) =>
  sorted[Math.floor((sorted.length - 1) * share)] ?? 0;

async function measure(page: Page, name: string, gesture: () => Promise<void>) {
  await page.evaluate(watch);
  await gesture();
  const seen = await page.evaluate<{ frames: number[]; work: number[] }>(
    "(window.watchedFrames.running = false, window.watchedFrames)",
  );
  const text = (times: number[]) => {
    const sorted = times.toSorted((a, b) => a - b);
    return `p50 ${at(sorted, 0.5).toFixed(1)} ms, p95 ${at(sorted, 0.95).toFixed(1)} ms`;
  };
  console.log(
    `${name}: ${seen.frames.length} frames, ${text(seen.frames)}; work ${text(seen.work)}`,
  );
}

async function benchCharts() {
  const stack = await startStack();
  const pages = await openPages(stack);
  try {
    const ids: number[] = [];
    for (let n = 0; n < RUNS; n++) {
      const { task_id: id } = await stack.api("/api/tasks", { task_name: `run ${n}` });
      const logs = Array.from({ length: POINTS }, (_, i) => ({
        step: i + 1,
        metrics: { loss: 0.1 + n / 100 + Math.random() / 10 + 1 / (i + 1) },
      }));
      await stack.api(`/api/tasks/${id}/heartbeat`, { attempt: 1, seq: 1, logs });
      ids.push(Number(id));
    }
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/compare?ids=${ids.join()}&smooth=0.6`);
      const chart = page.locator(".chart .u-over").first();
      await chart.waitFor();
      await page.waitForLoadState("networkidle");
      const lines = await page.locator(".chart .legend-line").count();
      console.log(`${lines} of ${RUNS} runs are drawn`);
      const box = await chart.boundingBox();
      if (!box) throw new Error("the chart is not drawn");
      const middle = [box.x + box.width / 2, box.y + box.height / 2] as const;
      await page.mouse.move(...middle);
      await measure(page, "pointing", async () => {
        for (let n = 0; n < MOVES; n++) await page.mouse.move(middle[0] + n, middle[1]);
      });
      await page.mouse.move(...middle);
      await page.keyboard.down("Control");
      await measure(page, "zooming", async () => {
        for (let n = 0; n < MOVES; n++) await page.mouse.wheel(0, n % 40 < 20 ? -40 : 40);
      });
      for (let n = 0; n < 8; n++) await page.mouse.wheel(0, -40);
      await page.keyboard.up("Control");
      await page.keyboard.down("Shift");
      await page.mouse.down();
      await measure(page, "moving", async () => {
        for (let n = 0; n < MOVES; n++)
          await page.mouse.move(middle[0] + (n % 60 < 30 ? -4 : 4) * (n % 30), middle[1]);
      });
      await page.mouse.up();
      await page.keyboard.up("Shift");
    });
  } finally {
    await pages.close();
    await stack.stop();
  }
}

if (isMain(import.meta.url)) await main(benchCharts);
