// How often open pages ask, while boxes report: counted in a real Chromium over the real stack.
import type { BrowserContext, Page, Request } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, openPages, type Pages, settled, signIn } from "./browser.ts";
import { eventually, type Stack, startStack } from "./stack.ts";

/** Boxes beside the one that is looked at; together they report every five seconds, as at 30 s each. */
const OTHERS = 6;
const MINUTES = 3;
const BETWEEN_MS = 5_000;

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
    type Open = { name: string; page: Page; context: BrowserContext };
    const open: (Open & { asked: string[]; under: Set<Request> })[] = [];
    try {
      for (const [name, { path }] of Object.entries(places)) {
        const [context, page] = await pages.open();
        // The pages' time passes as fast as they and the boxes are done with it.
        await page.clock.install();
        await signIn(page, pages.url, stack.admin);
        await page.goto(`${pages.url}${path}`);
        await page.waitForLoadState("networkidle");
        open.push({ name, page, context, asked: [], under: new Set() });
      }
      for (const { page, asked, under } of open) {
        page.on("request", (request) => {
          const { pathname, search } = new URL(request.url());
          if (pathname.startsWith("/api/")) asked.push(pathname + search);
          under.add(request);
        });
        page.on("requestfinished", (request) => under.delete(request));
        page.on("requestfailed", (request) => under.delete(request));
      }
      for (let n = 0; n < (MINUTES * 60_000) / BETWEEN_MS; n++) {
        await report(others[n % OTHERS] ?? 0);
        if (n % 6 === 3) await report(own);
        await Promise.all(
          open.map(async ({ name, page, under }) => {
            await page.clock.runFor(BETWEEN_MS);
            await settled(page);
            await eventually(`${name} to have its answers`, () => under.size === 0);
          }),
        );
      }
      const counts = Object.fromEntries(
        open.map(({ name, asked }) => [name, Math.round(asked.length / MINUTES)]),
      );
      console.log(`requests a minute, over ${MINUTES} minutes: ${JSON.stringify(counts)}`);
      for (const { name, asked } of open) {
        const most = (places[name]?.most ?? 0) * MINUTES;
        expect(asked.length, `${name}: ${asked.join(" ")}`).toBeLessThanOrEqual(most);
        // A page that asked nothing would show nothing new.
        expect(asked.length, name).toBeGreaterThan(5 * MINUTES);
      }

      // Of a curve only what is new is asked for.
      const curves = open[0]?.asked.filter((path) => path.includes("/logs?")) ?? [];
      expect(curves.length).toBeGreaterThan(2);
      expect(curves.filter((path) => !path.includes("since="))).toEqual([]);

      // What a box reports is on the page soon, and an end at the next look.
      const live = open[0]?.page;
      if (!live) throw new Error("no page is open");
      await report(own);
      const points = `${(steps.get(own) ?? 0) * 10} points`;
      const seen = (what: string, look: () => Promise<boolean>) =>
        eventually(what, async () => {
          await live.clock.runFor(1000);
          return look();
        });
      await seen("its points", () => live.getByText(points, { exact: true }).first().isVisible());
      await stack.api(`/api/tasks/${own}/finish`, { attempt: 1, status: "success" });
      await seen("the end", () => live.getByText("Success").first().isVisible());
    } finally {
      for (const { context } of open) await context.close();
    }
  }, 180_000);
});
