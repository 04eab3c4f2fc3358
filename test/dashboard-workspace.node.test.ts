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
  /** Other processes may have much to do: what is expected comes within a while. */
  const soon = <T>(check: () => T) => expect.poll(check, { timeout: 20_000 });
  const textOf = async (download: Download) => readFileSync(await download.path(), "utf8");

  it("say what is under the pointer, move their crosshairs together, and know the keys", async () => {
    const id = await record({ task_name: "pointed" }, 400, (step) => ({
      ...{ loss: step / 100, "val/loss": step / 50, "lr/unet": 1e-4 },
    }));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}?smooth=0`);
      const { x, y, width, height } = await drawn(page);
      const other = page.getByRole("group", { name: "val/loss" });
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
      await soon(() => other.locator(".legend-x").textContent()).toBe(`step ${step}`);
      expect(await page.locator(".chart-tip").count()).toBe(1);
      await page.mouse.move(0, 0);
      await tip.waitFor({ state: "detached" });
      await soon(() => other.locator(".legend-x").textContent()).toBe("step 400");

      const crosshair = large(page).getByRole("slider", { name: "Crosshair: loss", exact: true });
      await crosshair.focus();
      for (const key of ["Home", "ArrowRight", "Shift+ArrowRight", "ArrowLeft"])
        await page.keyboard.press(key);
      await soon(() => crosshair.getAttribute("aria-valuetext")).toBe("step 11, loss 0.1100");
      await soon(() => other.locator(".legend-x").textContent()).toBe("step 11");
      const zoom = () => new URL(page.url()).searchParams.get("zoom");
      await page.keyboard.press("+");
      await soon(zoom).toBe("6:205.5");
      await page.keyboard.press("-");
      await soon(zoom).toBeNull();
      await page.keyboard.press("+");
      await soon(zoom).not.toBeNull();
      await page.keyboard.press("0");
      await soon(zoom).toBeNull();
      await page.keyboard.press("End");
      await soon(() => crosshair.getAttribute("aria-valuetext")).toBe("step 400, loss 4.000");
      await page.keyboard.press("Escape");
      await tip.waitFor({ state: "detached" });

      // The wheel zooms with Ctrl, and Shift moves the stretch in view.
      await page.mouse.move(x + width / 2, y + height / 2);
      await page.keyboard.down("Control");
      for (let n = 0; n < 3; n++) await page.mouse.wheel(0, -100);
      await page.keyboard.up("Control");
      const ends = () => (zoom() ?? "0:399").split(":").map(Number);
      const length = () => (ends()[1] ?? 0) - (ends()[0] ?? 0);
      await soon(length).toBeLessThan(399 * 0.8 ** 3 + 1);
      const [low = 0, high = 0] = ends();
      await page.keyboard.down("Shift");
      await page.mouse.down();
      await page.mouse.move(x + width / 2 - 60, y + height / 2, { steps: 4 });
      await page.mouse.up();
      await page.keyboard.up("Shift");
      await soon(zoom).not.toBe(`${low}:${high}`);
      expect(ends()[0]).toBeGreaterThan(low);
      expect(length()).toBeCloseTo(high - low, 3);
    });
  });

  it("are drawn anew for another scale of the same points, and a constant as one line", async () => {
    const id = await record({ task_name: "scales" }, 300, (step) => ({
      ...{ loss: step === 150 ? 50 : 0.1 + 0.01 * Math.sin(step), constant: 3e-5 },
    }));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}?smooth=0`);
      await drawn(page);
      const picture = () =>
        page.evaluate<string>("document.querySelector('.curves canvas').toDataURL()");
      const first = await picture();
      await page.getByRole("checkbox", { name: "All values" }).check();
      await soon(picture).not.toBe(first);
      await page.getByRole("checkbox", { name: "All values" }).uncheck();
      await soon(picture).toBe(first);
      await page.goto(`${pages.url}/runs/${id}?smooth=0&curve=constant`);
      const { width, height } = await drawn(page);
      // The rows of pixels that hold the colour of the line, from one end to the other.
      const rows = () =>
        page.evaluate<number[]>(`(() => {
          const canvas = document.querySelector(".curves canvas");
          const { data, width, height } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const probe = document.createElement("i");
          probe.style.color = "var(--line-1)";
          document.body.append(probe);
          const colour = getComputedStyle(probe).color.match(/\\d+/g).map(Number);
          probe.remove();
          return Array.from({ length: height }, (_, y) => y).filter((y) => {
            let found = 0;
            for (let x = 0; x < width; x++) {
              const at = (y * width + x) * 4;
              if (data[at + 3] > 200 && colour.every((part, n) => Math.abs(part - data[at + n]) < 8)) found++;
            }
            return found > ${Math.floor(width * 0.9)};
          });
        })()`);
      await soon(async () => (await rows()).length > 0).toBe(true);
      const found = await rows();
      expect(found.length).toBeLessThanOrEqual(3);
      expect(Math.abs((found[0] ?? 0) - height / 2)).toBeLessThan(30);
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
      const images = page.getByRole("button", { name: "Images", exact: true });
      await page.goto(`${pages.url}/runs/${unknown}?x=images`);
      await drawn(page);
      expect(await large(page).locator(".legend-x").textContent()).toBe("step 100");
      expect(await images.getAttribute("aria-disabled")).toBe("true");
      expect(await images.getAttribute("title")).toContain("batch size × gradient accumulation");
      await page.goto(`${pages.url}/runs/${known}?x=images`);
      await drawn(page);
      expect(await large(page).locator(".legend-x").textContent()).toBe("800 images");
      await page.getByRole("button", { name: "Clock", exact: true }).click();
      await soon(() => large(page).locator(".legend-x").textContent()).toMatch(
        /^May 1, 2026, .*:01:40/,
      );
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
      await soon(() => over(200)).toContain("Attempt 2 began at step 200");
      await soon(() => over(300)).toContain("half.safetensors, step 300");
      expect(await over(250)).not.toMatch(/Attempt|half/);
      await page.getByRole("checkbox", { name: "Marks" }).uncheck();
      await soon(() => new URL(page.url()).searchParams.get("marks")).toBe("0");
      expect(await over(200)).not.toContain("Attempt");
      await page.reload();
      await drawn(page);
      expect(await over(300)).not.toContain("half");
    });
  });

  const card = (page: Page, metric: string) =>
    page.getByRole("group", { name: metric, exact: true }).and(page.locator(".metric-card"));
  const cardsOf = (page: Page, group: string) =>
    page
      .getByRole("region", { name: group, exact: true })
      .locator(".metric-card")
      .evaluateAll((cards) => cards.map((one) => one.getAttribute("aria-label")));
  const groups = (page: Page) => page.locator(".metric-group").allTextContents();

  it("of sixty metrics are a grid that is grouped, searched, pinned, ordered and hidden, and stays so elsewhere", async () => {
    const id = await record({ task_name: "sixty" }, 20, (step) => ({
      ...{ loss: 1 / step, lr: 1e-4, "lr/unet": 1e-4, "val/loss": 2 / step, grad_norm: 1 },
      ...{ "norm/text": 1, "norm/unet": 1 },
      // Not in the grid: the machine has a page of its own.
      ...{ "gpu.0.util": 90, "sys.cpu": 50 },
      ...Object.fromEntries(Array.from({ length: 53 }, (_, n) => [`train/m${n}`, step * n])),
    }));
    const anna = await stack.key("anna");
    await pages.signedIn(
      async (page) => {
        const asked: string[] = [];
        page.on("request", (request) => void asked.push(new URL(request.url()).pathname));
        await page.goto(`${pages.url}/runs/${id}`);
        await page.getByRole("heading", { name: "60 metrics" }).waitFor();
        expect(await groups(page)).toEqual(["General2", "val1", "train53", "lr2", "norm2"]);
        expect((await cardsOf(page, "train")).slice(0, 3)).toEqual([
          "train/m0",
          "train/m1",
          "train/m2",
        ]);
        await card(page, "loss").locator("canvas").waitFor();
        expect(asked.filter((path) => path.endsWith("/curves")).length).toBeLessThanOrEqual(2);

        const search = page.getByRole("searchbox", {
          name: "Search metrics by a regular expression",
        });
        await search.fill("^train/m\\d$|LR/");
        await soon(() => groups(page)).toEqual(["train10", "lr1"]);
        await search.fill("(a+");
        await page.getByRole("alert").getByText("missing closing )").waitFor();
        expect(await groups(page)).toHaveLength(5);
        await search.fill("(a+)+$");
        await page.getByText("No metric is found.").waitFor();
        expect(new URL(page.url()).searchParams.get("find")).toBe("(a+)+$");
        await search.fill("");
        await soon(() => new URL(page.url()).searchParams.has("find")).toBe(false);

        const press = async (metric: string, name: string) => {
          await card(page, metric).scrollIntoViewIfNeeded();
          await card(page, metric).getByRole("button", { name }).click();
        };
        await press("train/m2", "train/m2 further left");
        await soon(async () => (await cardsOf(page, "train")).slice(0, 3)).toEqual([
          "train/m0",
          "train/m2",
          "train/m1",
        ]);
        await card(page, "train/m0")
          .getByTitle("Draw it large")
          .dragTo(card(page, "train/m1").getByTitle("Draw it large"));
        await soon(async () => (await cardsOf(page, "train")).slice(0, 3)).toEqual([
          ...["train/m2", "train/m1", "train/m0"],
        ]);
        await card(page, "train/m0")
          .getByTitle("Draw it large")
          .dragTo(card(page, "train/m2").getByTitle("Draw it large"));
        await press("train/m1", "Pin train/m1");
        await press("lr/unet", "Pin lr/unet");
        await soon(() => cardsOf(page, "Pinned")).toEqual(["train/m1", "lr/unet"]);
        await press("lr/unet", "lr/unet further left");
        await press("grad_norm", "Hide grad_norm");
        await page.getByRole("button", { name: "norm 2" }).click();
        await soon(() => cardsOf(page, "General")).toEqual(["loss"]);
        await page.getByRole("button", { name: "1 hidden, show" }).click();
        await soon(() => cardsOf(page, "General")).toEqual(["grad_norm", "loss"]);
        await page.getByRole("slider", { name: "Smoothing" }).fill("0.3");
        expect(Object.fromEntries(new URL(page.url()).searchParams)).toMatchObject({
          ...{ pin: "lr/unet,train/m1", skip: "grad_norm", fold: "norm" },
        });
        await eventually("the choices to be saved", async () => {
          const { value } = await stack.api("/api/me/preferences/charts", undefined, anna);
          return value.smoothing === 0.3 && value.collapsed?.length === 1;
        });
      },
      { key: anna },
    );
    // The same person in another browser, at an address that says nothing.
    await pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/runs/${id}`);
        await soon(() => cardsOf(page, "Pinned")).toEqual(["lr/unet", "train/m1"]);
        expect(await cardsOf(page, "General")).toEqual(["loss"]);
        expect((await cardsOf(page, "train")).slice(0, 2)).toEqual(["train/m0", "train/m2"]);
        expect(await cardsOf(page, "norm")).toEqual([]);
        expect(await large(page).locator("output").textContent()).toBe("0.30");
        expect(new URL(page.url()).search).toBe("");
        // An address wins over it.
        await page.goto(`${pages.url}/runs/${id}?pin=loss&skip=~0&smooth=0.7`);
        await soon(() => cardsOf(page, "Pinned")).toEqual(["loss"]);
        expect(await cardsOf(page, "General")).toEqual(["grad_norm"]);
        expect(await large(page).locator("output").textContent()).toBe("0.70");
      },
      { key: anna },
    );
    // Another person sees nothing of it.
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      await page.getByRole("heading", { name: "60 metrics" }).waitFor();
      expect((await groups(page))[0]).toBe("General2");
    });
  });

  it("are all shown where the search could not be loaded, which is said, and searched when it can", async () => {
    const id = await record({ task_name: "searched" }, 5, (step) => ({ loss: 1 / step, lr: 1e-4 }));
    await pages.signedIn(async (page) => {
      await page.route("**/assets/metric-search-*.js", (route) => route.abort());
      await page.goto(`${pages.url}/runs/${id}?find=loss`);
      const said = page.getByRole("alert").getByText("The ledger cannot be reached just now.");
      await said.waitFor();
      expect(await groups(page)).toEqual(["General1", "lr1"]);
      await page.unroute("**/assets/metric-search-*.js");
      await page
        .getByRole("searchbox", { name: "Search metrics by a regular expression" })
        .fill("LR$");
      await soon(() => groups(page)).toEqual(["lr1"]);
      expect(await said.count()).toBe(0);
    });
  });

  it("say where choices could not be saved, and keep them", async () => {
    const id = await record({ task_name: "unsaved" }, 5, (step) => ({ loss: 1 / step, lr: 1e-4 }));
    await pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/runs/${id}`);
        await card(page, "lr").locator("canvas").waitFor();
        await page.route("**/api/me/preferences/**", (route) => route.abort());
        await card(page, "lr").getByRole("button", { name: "Pin lr" }).click();
        await page.getByText("The ledger cannot be reached just now.").first().waitFor();
        expect(await cardsOf(page, "Pinned")).toEqual(["lr"]);
      },
      { key: await stack.key("otto") },
    );
  });

  it("of 500 metrics do not stall the page: those in view are drawn, with few requests", async () => {
    const id = await record({ task_name: "many" }, 20, (step) =>
      Object.fromEntries([
        ["loss", 1 / step],
        ...Array.from({ length: 499 }, (_, n) => [`layer.${n}.norm`, step * n] as const),
      ]),
    );
    await pages.signedIn(async (page) => {
      let asked = 0;
      page.on("request", (request) => {
        if (new URL(request.url()).pathname.endsWith("/curves")) asked++;
      });
      const begin = Date.now();
      await page.goto(`${pages.url}/runs/${id}`);
      await page.getByRole("heading", { name: "500 metrics" }).waitFor();
      await card(page, "layer.1.norm").locator("canvas").waitFor();
      const ready = Date.now() - begin;
      expect(ready).toBeLessThan(15_000);
      expect(asked).toBeLessThanOrEqual(2);
      const canvases = () => page.locator("canvas").count();
      expect(await canvases()).toBeLessThan(30);
      const search = page.getByRole("searchbox", {
        name: "Search metrics by a regular expression",
      });
      await search.fill("\\.4\\d\\.");
      await soon(() => groups(page)).toEqual(["layer10"]);
      await search.fill("");
      await soon(() => groups(page)).toEqual(["General1", "layer499"]);
      const last = card(page, "layer.498.norm");
      await last.scrollIntoViewIfNeeded();
      await last.locator("canvas").waitFor();
      expect(await canvases()).toBeLessThan(40);
      expect(asked).toBeLessThanOrEqual(8);
      console.log(`500 metrics: ready in ${ready} ms, ${asked} requests for curves`);
    });
  });
});
