// Charts and the grid of a run's metrics, in a real Chromium over the real stack.
import { readFileSync } from "node:fs";
import type { Download, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chromiumPath, openPages, type Pages } from "./browser.ts";
import { eventually, type Stack, startStack } from "./stack.ts";
import { lora, upload } from "./uploads.ts";

type Metrics = Record<string, number | string>;

describe.skipIf(!chromiumPath())("charts", () => {
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

  const ledger = {
    call: (path: string, { json }: { json?: unknown } = {}) => stack.api(path, json),
    request: (path: string, init: RequestInit = {}) => fetch(new URL(path, stack.url), init),
  };
  const at = (step: number) => new Date(Date.UTC(2026, 4, 1) + step * 1000).toISOString();
  const logsOf = (first: number, last: number, metrics: (step: number) => Metrics) =>
    Array.from({ length: last - first + 1 }, (_, n) => {
      const step = first + n;
      return { step, epoch: step / 100, time: at(step), metrics: metrics(step) };
    });
  /** A run of some steps, 100 to an epoch and a second each, that ended in success. */
  async function record(task: object, steps: number, metrics: (step: number) => Metrics) {
    const { task_id: id } = await stack.api("/api/tasks", task);
    const logs = logsOf(1, steps, metrics);
    await stack.api(`/api/tasks/${id}/heartbeat`, { attempt: 1, seq: 1, logs });
    await stack.api(`/api/tasks/${id}/finish`, { attempt: 1, status: "success" });
    return Number(id);
  }
  const large = (page: Page) => page.locator(".curves");
  const drawn = (page: Page) =>
    eventually("a curve to be drawn", () => large(page).locator(".u-over").boundingBox());
  const textOf = async (download: Download) => readFileSync(await download.path(), "utf8");

  it("say what is under the pointer, move their crosshairs together, and know the keys", async () => {
    const id = await record({ task_name: "pointed" }, 400, (step) => ({
      ...{ loss: step / 100, "val/loss": step / 50, "lr/unet": 1e-4 },
    }));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}?smooth=0`);
      const { x, y, width, height } = await drawn(page);
      const other = page.getByRole("region", { name: "val/loss" });
      await eventually("the other chart", () => other.locator(".u-over").boundingBox());
      await page.mouse.move(x + width / 2, y + height / 2);
      const tip = large(page).locator(".chart-tip");
      await tip.waitFor();
      const [, step = 0] =
        (await tip.locator("b").first().textContent())?.match(/^step (\d+)$/) ?? [];
      expect(Number(step)).toBeGreaterThan(190);
      expect(Number(step)).toBeLessThan(212);
      expect(await tip.locator(".chart-tip-line").allTextContents()).toEqual([
        `loss${(Number(step) / 100).toFixed(3)}`,
      ]);
      expect(await tip.textContent()).toContain(`epoch ${Number(step) / 100} · May 1, 2026`);
      // The other chart shows the same step, and no tooltip of its own.
      await expect.poll(() => other.locator(".legend-x").textContent()).toBe(`step ${step}`);
      expect(await page.locator(".chart-tip").count()).toBe(1);
      await page.mouse.move(0, 0);
      await tip.waitFor({ state: "detached" });
      await expect.poll(() => other.locator(".legend-x").textContent()).toBe("step 400");

      const crosshair = page.getByRole("slider", { name: "Crosshair: loss", exact: true });
      await crosshair.focus();
      for (const key of ["Home", "ArrowRight", "Shift+ArrowRight", "ArrowLeft"])
        await page.keyboard.press(key);
      await expect
        .poll(() => crosshair.getAttribute("aria-valuetext"))
        .toBe("step 11, loss 0.1100");
      await expect.poll(() => other.locator(".legend-x").textContent()).toBe("step 11");
      const zoom = () => new URL(page.url()).searchParams.get("zoom");
      await page.keyboard.press("+");
      await expect.poll(zoom).toBe("6:205.5");
      await page.keyboard.press("-");
      await expect.poll(zoom).toBeNull();
      await page.keyboard.press("+");
      await expect.poll(zoom).not.toBeNull();
      await page.keyboard.press("0");
      await expect.poll(zoom).toBeNull();
      await page.keyboard.press("End");
      await expect
        .poll(() => crosshair.getAttribute("aria-valuetext"))
        .toBe("step 400, loss 4.000");
      await page.keyboard.press("Escape");
      await tip.waitFor({ state: "detached" });

      // The wheel zooms with Ctrl, and Shift moves the stretch in view.
      await page.mouse.move(x + width / 2, y + height / 2);
      await page.keyboard.down("Control");
      for (let n = 0; n < 3; n++) await page.mouse.wheel(0, -100);
      await page.keyboard.up("Control");
      const ends = () => (zoom() ?? "0:399").split(":").map(Number);
      const length = () => (ends()[1] ?? 0) - (ends()[0] ?? 0);
      await expect.poll(length).toBeLessThan(399 * 0.8 ** 3 + 1);
      const [low = 0, high = 0] = ends();
      await page.keyboard.down("Shift");
      await page.mouse.down();
      await page.mouse.move(x + width / 2 - 60, y + height / 2, { steps: 4 });
      await page.mouse.up();
      await page.keyboard.up("Shift");
      await expect.poll(zoom).not.toBe(`${low}:${high}`);
      expect(ends()[0]).toBeGreaterThan(low);
      expect(length()).toBeCloseTo(high - low, 3);
    });
  });

  it("go by images and by the clock where these are known", async () => {
    const known = await record(
      {
        ...{ task_name: "images", model_type: "stable-diffusion", batch_size: 4 },
        gradient_accumulation_steps: 2,
      },
      100,
      (step) => ({ loss: step }),
    );
    const unknown = await record({ task_name: "no images" }, 100, (step) => ({ loss: step }));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${known}?x=images`);
      await drawn(page);
      expect(await large(page).locator(".legend-x").textContent()).toBe("800 images");
      await page.getByRole("button", { name: "Clock", exact: true }).click();
      await expect
        .poll(() => large(page).locator(".legend-x").textContent())
        .toMatch(/^May 1, 2026, .*:01:40/);
      await page.goto(`${pages.url}/runs/${unknown}?x=images`);
      await drawn(page);
      expect(await large(page).locator(".legend-x").textContent()).toBe("step 100");
      const images = page.getByRole("button", { name: "Images", exact: true });
      expect(await images.getAttribute("aria-disabled")).toBe("true");
      expect(await images.getAttribute("title")).toContain("batch size × gradient accumulation");
    });
  });

  it("are saved as a picture and as their points", async () => {
    const id = await record({ task_name: "saved" }, 50, (step) => ({
      loss: 1 / step,
      "=1+1": step,
    }));
    await pages.signedIn(async (page) => {
      const save = async (name: string, item: string) => {
        await large(page).getByRole("button", { name, exact: true }).click();
        const [download] = await Promise.all([
          page.waitForEvent("download"),
          page.getByRole("button", { name: item }).click(),
        ]);
        return download;
      };
      await page.goto(`${pages.url}/runs/${id}?smooth=0&zoom=9.5:12`);
      await drawn(page);
      const csv = await save(`Save run-${id}-loss`, "Points (CSV)");
      expect(csv.suggestedFilename()).toBe(`run-${id}-loss.csv`);
      expect((await textOf(csv)).split("\r\n")).toEqual([
        "series,step,mean,low,high,count",
        ...["loss,10,0.1,0.1,0.1,1", "loss,11,0.0909090909091,0.0909090909091,0.0909090909091,1"],
        ...["loss,12,0.0833333333333,0.0833333333333,0.0833333333333,1", ""],
      ]);
      const png = await save(`Save run-${id}-loss`, "Picture (PNG)");
      expect(png.suggestedFilename()).toBe(`run-${id}-loss.png`);
      const bytes = readFileSync(await png.path());
      expect(bytes.subarray(1, 4).toString()).toBe("PNG");
      const { width } = await drawn(page);
      expect(bytes.readUInt32BE(16)).toBeGreaterThan(width);
      expect(bytes.readUInt32BE(20)).toBeGreaterThan(330);
      await page.goto(`${pages.url}/runs/${id}?smooth=0&curve=%3D1%2B1`);
      await drawn(page);
      expect(await textOf(await save(`Save run-${id}-=1+1`, "Points (CSV)"))).toContain(
        "\r\n'=1+1,1,1,",
      );
    });
  });

  it("mark attempts, checkpoints and samples, and leave them out where asked", async () => {
    const { task_id: id } = await stack.api("/api/tasks", { task_name: "resumed" });
    const metrics = (step: number) => ({ loss: 1 / step });
    const beat = (attempt: number, first: number, last: number) =>
      stack.api(`/api/tasks/${id}/heartbeat`, {
        attempt,
        seq: 1,
        logs: logsOf(first, last, metrics),
      });
    await beat(1, 1, 250);
    await stack.api(`/api/tasks/${id}/finish`, { attempt: 1, status: "failed" });
    await stack.api(`/api/tasks/${id}/attempts`, { from_step: 200 });
    await beat(2, 201, 400);
    const checkpoint = { kind: "checkpoint", filename: "half.safetensors", step: 300, attempt: 2 };
    await upload(ledger, stack.admin, Number(id), lora(), checkpoint);
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      const { x, y, width, height } = await drawn(page);
      const tip = large(page).locator(".chart-tip");
      const over = async (step: number) => {
        await page.mouse.move(x + (width * (step - 1)) / 399, y + height / 2);
        await tip.waitFor();
        return tip.textContent();
      };
      await expect.poll(() => over(200)).toContain("Attempt 2 began at step 200");
      await expect.poll(() => over(300)).toContain("half.safetensors, step 300");
      expect(await over(250)).not.toMatch(/Attempt|half/);
      await page.getByRole("checkbox", { name: "Marks" }).uncheck();
      await expect.poll(() => new URL(page.url()).searchParams.get("marks")).toBe("0");
      expect(await over(200)).not.toContain("Attempt");
      await page.reload();
      await drawn(page);
      expect(await over(300)).not.toContain("half");
    });
  });
});
