// How often open pages ask, while boxes report: counted in a real Chromium over the real stack.
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, openPages, type Pages, signIn } from "./browser.ts";
import { eventually, type Stack, startStack } from "./stack.ts";

/** Boxes beside the one that is looked at; together they report every five seconds, as at 30 s each. */
const OTHERS = 6;
const SECONDS = 60;

describe.skipIf(!chromiumPath())("open pages", () => {
  let stack: Stack;
  let pages: Pages;
  beforeAll(async () => {
    stack = await startStack();
    pages = await openPages(stack);
  }, 120_000);
  afterAll(async () => {
    await pages?.close();
    await stack?.stop();
  });

  const register = async (task_name: string) =>
    Number((await stack.api("/api/tasks", { task_name })).task_id);
  const metrics = (step: number) => ({
    ...{ loss: 1 / step, lr: 1e-4, grad_norm: 1, "val/loss": 2 / step, "loss/average": 1 / step },
    ...{ "gpu.0.util": 90, "gpu.0.mem_mb": 20_000, "gpu.0.temp_c": 60, "gpu.0.power_w": 300 },
  });
  const steps = new Map<number, number>();
  /** A report of ten steps. */
  async function report(id: number) {
    const seq = (steps.get(id) ?? 0) + 1;
    steps.set(id, seq);
    const logs = Array.from({ length: 10 }, (_, n) => {
      const step = (seq - 1) * 10 + n + 1;
      return { step, metrics: metrics(step) };
    });
    await stack.api(`/api/tasks/${id}/heartbeat`, {
      ...{ attempt: 1, seq, logs, progress: { step: seq * 10, total_steps: 1000 } },
    });
  }

  it("show what is new, and ask at most 15 times a minute about one run and 30 times elsewhere", async () => {
    const own = await register("looked at");
    const others = [];
    for (let n = 0; n < OTHERS; n++) others.push(await register(`other ${n}`));
    const ended = await register("ended");
    for (const id of [own, ended, ...others]) await report(id);
    await stack.api(`/api/tasks/${ended}/finish`, { attempt: 1, status: "success" });

    const places: Record<string, { path: string; most: number }> = {
      "a live run": { path: `/runs/${own}`, most: 15 },
      "an ended run": { path: `/runs/${ended}`, most: 15 },
      "the runs": { path: "/runs", most: 30 },
      "the board": { path: "/board", most: 30 },
      "a comparison": { path: `/compare?ids=${[own, ...others].join()}`, most: 30 },
    };
    const open: { name: string; page: Page; context: BrowserContext; asked: string[] }[] = [];
    try {
      for (const [name, { path }] of Object.entries(places)) {
        const [context, page] = await pages.open();
        await signIn(page, pages.url, stack.admin);
        await page.goto(`${pages.url}${path}`);
        await page.waitForLoadState("networkidle");
        open.push({ name, page, context, asked: [] });
      }
      for (const { page, asked } of open)
        page.on("request", (request) => {
          const { pathname } = new URL(request.url());
          if (pathname.startsWith("/api/")) asked.push(pathname);
        });
      const until = Date.now() + SECONDS * 1000;
      for (let n = 0; Date.now() < until; n++) {
        await report(others[n % OTHERS] ?? 0);
        if (n % 6 === 3) await report(own);
        await new Promise((done) => setTimeout(done, 5000));
      }
      const counts = Object.fromEntries(open.map(({ name, asked }) => [name, asked.length]));
      console.log(`requests a minute: ${JSON.stringify(counts)}`);
      for (const { name, asked } of open)
        expect(asked.length, `${name}: ${asked.join(" ")}`).toBeLessThanOrEqual(
          places[name]?.most ?? 0,
        );

      // What a box reports is on the page soon, and an end at the next look.
      const live = open[0]?.page;
      if (!live) throw new Error("no page is open");
      await report(own);
      const points = `${(steps.get(own) ?? 0) * 10} points`;
      await live.getByText(points, { exact: true }).first().waitFor({ timeout: 30_000 });
      await stack.api(`/api/tasks/${own}/finish`, { attempt: 1, status: "success" });
      await eventually("the end to be seen", () => live.getByText("Success").first().isVisible());
    } finally {
      for (const { context } of open) await context.close();
    }
  }, 180_000);
});
