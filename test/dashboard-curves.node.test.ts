// The curves of runs and the figures beside them, in a real Chromium over the real stack.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runFields } from "../src/shared/run-fields.ts";
import {
  axe,
  chromiumPath,
  desktop,
  looks,
  openPages,
  type Pages,
  phone,
  settled,
} from "./browser.ts";
import { eventually, type Stack, startStack } from "./stack.ts";

type Metrics = Record<string, number | string>;

describe.skipIf(!chromiumPath())("curves", () => {
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

  /** A run of some steps, 100 to an epoch and a second each, that ended in success. */
  async function record(task: object, steps: number, metrics: (step: number) => Metrics) {
    const { task_id: id } = await stack.api("/api/tasks", task);
    const at = (step: number) => new Date(Date.UTC(2026, 4, 1) + step * 1000).toISOString();
    const logs = Array.from({ length: steps }, (_, n) => ({
      ...{ step: n + 1, epoch: (n + 1) / 100, time: at(n + 1) },
      metrics: metrics(n + 1),
    }));
    await stack.api(`/api/tasks/${id}/heartbeat`, { attempt: 1, seq: 1, logs });
    await stack.api(`/api/tasks/${id}/finish`, { attempt: 1, status: "success" });
    return Number(id);
  }
  const large = (page: Page) => page.locator(".curves");
  const drawn = (page: Page) =>
    eventually("a curve to be drawn", () => large(page).locator(".u-over").boundingBox());

  it("say from which step on a run was NaN, and the figures of an ended run are no present ones", async () => {
    const id = await record({ task_name: "broken" }, 200, (step) => ({
      loss: step < 121 ? 1 / step : step % 2 ? "NaN" : "Infinity",
      lr: 1e-4,
    }));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      await page
        .getByRole("img", { name: /^loss: 120 points, .*\. NaN or infinite from step 121$/ })
        .waitFor();
      await large(page).getByText("NaN or infinite from step 121", { exact: true }).waitFor();
      // The last points have no value, and the one before the gap is not theirs.
      const legend = large(page).locator(".legend");
      expect(await legend.locator(".legend-x").textContent()).toBe("step 200");
      expect(await legend.locator("b").allTextContents()).toEqual(["–"]);
      const names = await page
        .getByRole("region", { name: "Figures" })
        .locator("dt")
        .allTextContents();
      expect(names).toContain("Final loss");
      expect(names).toContain("Converged at");
      expect(names).not.toContain("Loss now");
    });
  });

  it("name no step of a run whose steps nobody knows", async () => {
    const { task_id: id } = await stack.api("/api/tasks", { task_name: "by time" });
    const at = (n: number) => new Date(Date.UTC(2026, 4, 1) + n * 60_000).toISOString();
    await stack.api(`/api/tasks/${id}/heartbeat`, {
      ...{ attempt: 1, seq: 1, progress: { epoch: 1, unstepped: true } },
      logs: [0.5, 0.4, "NaN"].map((loss, n) => ({ step: n + 1, time: at(n), metrics: { loss } })),
    });
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      await large(page).getByText("NaN or infinite after 2m 00s", { exact: true }).waitFor();
      expect(await large(page).locator(".legend-x").textContent()).toBe("after 2m 00s");
      // It still runs: its loss now is the end of the smoothed curve.
      const figures = page.getByRole("region", { name: "Figures" });
      expect(await figures.locator(".figures dt").first().textContent()).toBe("Loss now");
      expect(await figures.locator(".figures dd").first().textContent()).toMatch(/^0\.4\d+$/);
    });
  });

  // A service without the column has no such badge to show.
  it.runIf("nonfinite_from_step" in runFields)(
    "of a run with NaN have a badge wherever the run is",
    async () => {
      const id = await record({ task_name: "with NaN" }, 200, (step) => ({
        loss: step < 121 ? 1 / step : "NaN",
      }));
      const sound = await record({ task_name: "sound" }, 200, () => ({ loss: 9 }));
      const title = "ended in success, with NaN from step 121";
      for (const options of [desktop, phone])
        await pages.signedIn(
          async (page) => {
            await page.goto(`${pages.url}/runs`);
            const row = page.getByRole("row").filter({ hasText: "with NaN" });
            expect(await row.getByTitle(title).textContent()).toBe("NaN");
            const other = page.getByRole("row").filter({ hasText: "sound" });
            await other.waitFor();
            expect(await other.getByTitle(/NaN/).count()).toBe(0);
            await page.goto(`${pages.url}/runs/${id}`);
            expect(await page.getByTitle(title).textContent()).toBe("NaN from step 121");
            await large(page).getByText("NaN or infinite from step 121", { exact: true }).waitFor();
            const figures = page.getByRole("region", { name: "Figures" });
            expect(await figures.locator(".figures dt").allTextContents()).toEqual([
              ...["Final loss", "Best smoothed loss", "Converged at", "Duration"],
            ]);
            expect(await figures.locator(".figures dd").nth(1).textContent()).toMatch(
              /^0\.\d+ · step \d+$/,
            );
            expect(await figures.locator(".figures dd").nth(2).textContent()).toBe("–");
            // The lower loss of the two is that of the run with NaN, and yet not the best.
            await page.goto(`${pages.url}/compare?ids=${id},${sound}`);
            const losses = page.getByRole("row", { name: /^Final loss/ }).getByRole("cell");
            await losses.first().waitFor();
            expect(await losses.nth(0).getAttribute("class")).not.toContain("best");
            expect(await losses.nth(1).getAttribute("class")).toContain("best");
            expect(
              await page
                .getByRole("row", { name: /^NaN from step/ })
                .getByRole("cell")
                .allTextContents(),
            ).toEqual(["step 121", "–"]);
          },
          { options },
        );
    },
  );

  it("keep in the address what they are looked at with", async () => {
    const id = await record({ task_name: "looked at" }, 400, (step) => ({
      ...{ loss: 1 / step, "gpu.0.util": 90, "lr/unet": 1e-4, speed: 3 },
      ...(step % 50 === 0 && { "val/loss": 2 / step }),
    }));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      const small = page.getByRole("group", { name: "lr/unet" });
      await small.scrollIntoViewIfNeeded();
      await small.getByTitle("Draw it large").click();
      await page.getByRole("button", { name: "Epoch", exact: true }).click();
      await page.getByRole("checkbox", { name: "Log scale" }).check();
      await page.getByRole("checkbox", { name: "All values" }).check();
      await page.getByRole("slider", { name: "Smoothing" }).fill("0.5");
      const kept = { curve: "lr/unet", x: "epoch", log: "1", y: "all", smooth: "0.5" };
      const address = () => Object.fromEntries(new URL(page.url()).searchParams);
      await expect.poll(address).toEqual(kept);
      await page.evaluate(
        "new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))",
      );
      const { x, y, width, height } = await drawn(page);
      await page.mouse.move(x + width * 0.25, y + height / 2);
      await page.mouse.down();
      await page.mouse.move(x + width * 0.75, y + height / 2, { steps: 5 });
      await page.mouse.up();
      await page.getByRole("button", { name: "Whole run" }).waitFor();
      const [low = 0, high = 0] = (address().zoom ?? "").split(":").map(Number);
      expect(low).toBeGreaterThan(0.8);
      expect(low).toBeLessThan(1.3);
      expect(high).toBeGreaterThan(2.7);
      expect(high).toBeLessThan(3.3);

      const shown = async () => {
        await page.getByRole("button", { name: "Whole run" }).waitFor();
        expect(await page.getByRole("combobox", { name: "Metric" }).inputValue()).toBe("lr/unet");
        const epoch = page.getByRole("button", { name: "Epoch", exact: true });
        expect(await epoch.getAttribute("aria-pressed")).toBe("true");
        expect(await page.getByRole("checkbox", { name: "Log scale" }).isChecked()).toBe(true);
        expect(await page.getByRole("checkbox", { name: "All values" }).isChecked()).toBe(true);
        expect(await large(page).locator("output").textContent()).toBe("0.50");
        expect(address()).toMatchObject(kept);
      };
      await page.reload();
      await shown();
      const parts = page.getByRole("navigation", { name: "Parts of this run" });
      await parts.getByRole("link", { name: "Config" }).click();
      await expect.poll(() => address().tab).toBe("config");
      await parts.getByRole("link", { name: "Overview" }).click();
      await shown();
      // Another axis has other places, and what is usual stands in no address.
      await settled(page);
      await page.getByRole("button", { name: "Step", exact: true }).click();
      await expect.poll(() => address().zoom).toBeUndefined();
      // The axis chosen before is the person's usual one since, also where the page was left at once.
      await expect.poll(() => address().x).toBe("step");
    });
  });

  it("show the machine on a page of its own, and in no list of metrics", async () => {
    const node_info = { gpus: [0, 1].map(() => ({ name: "RTX 4090", memory_mb: 24_576 })) };
    const id = await record({ task_name: "machine", node_info }, 200, (step) => ({
      ...{ loss: 1 / step, "lr/unet": 1e-4 },
      ...(step % 5 === 0 && {
        ...{ "gpu.0.util": 90, "gpu.0.mem_mb": 12_288, "gpu.0.temp_c": 60, "gpu.0.power_w": 300 },
        ...{ "gpu.1.util": 70, "gpu.1.mem_mb": 6_144, "gpu.1.temp_c": 55, "gpu.1.power_w": 250 },
        ...{ "sys.cpu": 42, "sys.mem_mb": 16_384, "sys.mem_total_mb": 65_536 },
        ...{ "sys.disk_free_gb": 120 - step / 10, "sys.net_in_mb_s": 1, "sys.net_out_mb_s": 0.5 },
      }),
    }));
    for (const options of Object.values(looks))
      await pages.signedIn(
        async (page) => {
          await page.goto(`${pages.url}/runs/${id}?tab=system`);
          const charts = page.locator(".system-charts section");
          await charts.nth(7).locator(".u-over").waitFor();
          expect(await charts.getByRole("heading").allTextContents()).toEqual([
            ...["GPU utilisation", "GPU memory", "GPU temperature", "GPU power"],
            ...["Processor", "Memory", "Disk left", "Network"],
          ]);
          const memory = page.getByRole("region", { name: "GPU memory" });
          expect(await memory.locator("header .faint").textContent()).toBe("of 24 GiB");
          const crosshairs = await charts
            .getByRole("slider")
            .evaluateAll((found) => found.map((one) => one.getAttribute("aria-label")));
          expect(crosshairs).toHaveLength(8);
          expect(new Set(crosshairs).size).toBe(8);
          const network = page.getByRole("region", { name: "Network" });
          await network.getByRole("slider", { name: "Crosshair: Network" }).waitFor();
          await network.getByRole("button", { name: `Save run-${id}-Network` }).waitFor();
          expect(await memory.locator(".legend b").allTextContents()).toEqual(["12.00", "6.000"]);
          await page
            .getByRole("img", {
              name: "GPU memory (GiB). GPU 0: last value 12.00, highest 12.00; GPU 1: last value 6.000, highest 6.000",
            })
            .waitFor();
          const now = page.getByRole("region", { name: "Machine at the end" });
          expect(await now.locator("dd").allTextContents()).toEqual([
            ...["80%", "42%", "16 GiB", "100 GiB", "↓ 1 ↑ 0.5 MB/s"],
          ]);
          expect(await axe(page)).toEqual([]);
        },
        { options },
      );
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      await page.locator(".small-curve").first().waitFor();
      const choices = page.getByRole("combobox", { name: "Metric" }).locator("option");
      expect(await choices.allTextContents()).toEqual(["loss", "lr/unet"]);
    });
  });

  it("say why a run has no figures of the machine", async () => {
    const ended = await record({ task_name: "no machine" }, 20, (step) => ({ loss: 1 / step }));
    const older = await record({ task_name: "older" }, 20, (step) => ({
      ...{ loss: 1 / step, "gpu.0.util": 90 },
    }));
    const { task_id: running } = await stack.api("/api/tasks", { task_name: "begun" });
    await stack.api(`/api/tasks/${running}/heartbeat`, {
      ...{ attempt: 1, seq: 1, logs: [{ step: 1, metrics: { loss: 1 } }] },
    });
    const { task_id: waiting } = await stack.api("/api/tasks", { task_name: "waiting" });
    await pages.signedIn(async (page) => {
      for (const [id, why] of [
        [ended, "The run ended within its first heartbeats"],
        [older, "The GPUs alone: an older client recorded this run."],
        [running, "The first figures come one heartbeat after the first step."],
        [waiting, "The box samples its machine once the run has begun."],
      ]) {
        await page.goto(`${pages.url}/runs/${id}?tab=system`);
        await page.getByText(String(why)).waitFor();
      }
    });
  });

  it("leave a spike outside, and values that a scale has no place for, and say so", async () => {
    const id = await record({ task_name: "spiky" }, 300, (step) => ({
      loss: step === 150 ? 1e6 : step > 297 ? 0 : 0.1 + 0.01 * Math.sin(step),
      memory: 20_000,
    }));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      await large(page).getByText("4 points lie beyond the frame").waitFor();
      await page.getByRole("checkbox", { name: "Log scale" }).check();
      await large(page).getByText("1 points lie beyond the frame").waitFor();
      await large(page).getByText("3 points at 0 or below are left out").waitFor();
      await page.getByRole("checkbox", { name: "All values" }).check();
      await large(page).getByText("beyond the frame").waitFor({ state: "hidden" });
      await page.goto(`${pages.url}/runs/${id}?curve=memory`);
      await drawn(page);
      expect(
        await large(page)
          .getByText(/beyond|left out/)
          .count(),
      ).toBe(0);
    });
  });

  it("are drawn whatever their values are", async () => {
    const values = [1e308, -1e308, "NaN", "Infinity", 1e-320, 0, "-Infinity", 1.7e308];
    const id = await record({ task_name: "wild" }, 64, (step) => ({
      ...{ loss: values[step % values.length] ?? 0, nothing: "NaN", zero: 0 },
      ...{ large: 1e308, small: 5e-324 },
    }));
    const one = await record({ task_name: "one" }, 1, () => ({ loss: 0.5 }));
    await pages.signedIn(async (page) => {
      for (const metric of ["loss", "nothing", "zero", "large", "small"])
        for (const log of ["", "&log=1", "&y=all", "&log=1&y=all"]) {
          await page.goto(`${pages.url}/runs/${id}?curve=${metric}${log}`);
          await drawn(page);
          await settled(page);
        }
      await page.goto(`${pages.url}/runs/${one}`);
      await page
        .getByRole("img", { name: "loss: 1 points, lowest 0.5000, last value 0.5000" })
        .waitFor();
      await drawn(page);
    });
  }, 120_000);

  it("of runs over one another share the address's view, and show where one ended before", async () => {
    const short = await record({ task_name: "short" }, 100, (step) => ({ loss: 1 / step }));
    const long = await record({ task_name: "long" }, 1300, (step) => ({ loss: 1 / step }));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/compare?ids=${short},${long}&smooth=0`);
      const legend = page.locator(".chart .legend");
      await legend.getByText("step 1,300").waitFor();
      expect(await legend.locator(".legend-line").allTextContents()).toEqual([
        ...["short0.01000step 100", expect.stringMatching(/^long7\.\d\de-4$/)],
      ]);
      await page.getByRole("button", { name: "Time", exact: true }).click();
      await expect.poll(() => new URL(page.url()).searchParams.get("x")).toBe("time");
      await page.getByRole("slider", { name: "Smoothing" }).fill("0.9");
      await expect.poll(() => new URL(page.url()).searchParams.has("smooth")).toBe(false);
      expect(new URL(page.url()).searchParams.get("ids")).toBe(`${short},${long}`);
    });
  });

  it("of 20 runs have one colour each wherever they are, are hidden, grouped and set beside a baseline", async () => {
    const groups = ["anime", "photo", "sketch"];
    const ids: number[] = [];
    for (let n = 0; n < 20; n++)
      ids.push(
        await record(
          { task_name: `many ${n}`, experiment_group: groups[n % 3], lora_rank: 8 << (n % 2) },
          20 + n,
          (step) => ({ loss: 1 + n / 10 + 1 / step, lr: 1e-4 }),
        ),
      );
    const [first = 0, second = 0] = ids;
    const requests: string[] = [];
    await pages.signedIn(async (page) => {
      page.on("request", (request) => {
        const { pathname, search } = new URL(request.url());
        requests.push(pathname + search);
      });
      const parameter = (name: string) => new URL(page.url()).searchParams.get(name);
      const classOf = (within: string) =>
        page
          .locator(within)
          .filter({ has: page.getByText("many 7", { exact: true }) })
          .locator(".swatch")
          .getAttribute("class");
      await page.goto(
        `${pages.url}/runs?sel=${ids}&cols=final_loss,best_loss,lora_rank&filter=task_name like '%25many%25'`,
      );
      await page.getByRole("img", { name: "loss of 20 runs" }).waitFor();
      const swatch = await classOf(".runs-row");
      expect(swatch).toMatch(/^swatch colour-\d+ dash-\d$/);
      expect(await classOf(".run-keys li")).toBe(swatch);
      expect(await classOf(".legend-line")).toBe(swatch);
      const swatches = await page
        .locator(".run-keys .swatch")
        .evaluateAll((all) => all.map((one) => one.className));
      expect(new Set(swatches).size).toBe(20);
      // A run keeps its colour in another selection.
      await page.goto(`${pages.url}/compare?ids=${ids[7]},${ids[5]}`);
      await page.getByRole("img", { name: "loss of 2 runs" }).waitFor();
      expect((await classOf(".compared li"))?.split(" ")[1]).toBe(swatch?.split(" ")[1]);

      await page.goto(`${pages.url}/compare?ids=${ids}`);
      await page.getByRole("img", { name: "loss of 20 runs" }).waitFor();
      expect(await classOf(".compared li")).toBe(swatch);
      expect(await classOf(".legend-line")).toBe(swatch);
      expect(await classOf(".differences th")).toBe(swatch);
      expect(requests.filter((path) => /^\/api\/tasks\/\d+/.test(path))).toEqual([]);
      expect(requests.filter((path) => /^\/api\/curves\?.*=600/.test(path))).toHaveLength(3);

      // Each group of losses has a best run of its own, and the page says so.
      await page.getByText(/^The runs belong to 3 groups/).waitFor();
      const losses = page.getByRole("row", { name: /^Final loss/ });
      expect(await losses.locator("td.best").count()).toBe(3);

      await page.getByRole("button", { name: "Hide many 1", exact: true }).click();
      await page.getByRole("img", { name: "loss of 19 runs" }).waitFor();
      expect(parameter("hide")).toBe(String(second));
      expect(parameter("ids")).toBe(ids.join(","));

      await page.getByRole("button", { name: "Baseline: many 0", exact: true }).click();
      await expect.poll(() => parameter("baseline")).toBe(String(first));
      await losses.locator(".delta").first().waitFor();
      expect(await losses.locator(".delta").count()).toBe(19);
      expect(await losses.locator(".delta").first().textContent()).toMatch(/^\+0\.0\d+$/);
      const ranks = page.getByRole("row", { name: /^lora_rank/ });
      expect(await ranks.locator("td.unlike").count()).toBe(10);
      await page.getByRole("checkbox", { name: "Difference to the baseline" }).check();
      await page
        .getByRole("slider", { name: "Crosshair: loss, difference to many 0" })
        .waitFor({ state: "attached" });
      const legend = page.locator(".overlaid .chart .legend");
      await expect
        .poll(() =>
          legend
            .locator(".legend-line", { has: page.getByText("many 3", { exact: true }) })
            .locator("b")
            .textContent(),
        )
        .toMatch(/^0\.30/);
      await page.getByRole("checkbox", { name: "Difference to the baseline" }).uncheck();

      await page.getByRole("combobox", { name: "Group by" }).fill("experiment_group");
      await page.keyboard.press("Enter");
      await page.getByRole("img", { name: "loss of 3 groups of runs" }).waitFor();
      // many 1 is hidden, so its group has one run less.
      expect(await legend.locator(".legend-line .clip").allTextContents()).toEqual([
        "anime (7)",
        "photo (6)",
        "sketch (6)",
      ]);
      await page.getByRole("button", { name: "lowest to highest" }).click();
      await expect.poll(() => parameter("band")).toBe("range");
      await page.getByRole("combobox", { name: "Group by" }).fill("nothing_at_all");
      await page.keyboard.press("Enter");
      await page
        .getByText(/nothing_at_all/)
        .first()
        .waitFor();
      await page.getByRole("combobox", { name: "Group by" }).fill("");
      await page.keyboard.press("Enter");
      await page.getByRole("img", { name: "loss of 19 runs" }).waitFor();

      // All metrics of these runs are below, searched and drawn large as those of one run are.
      const grid = page.getByRole("region", { name: "All metrics" });
      await grid.scrollIntoViewIfNeeded();
      await grid.getByRole("img", { name: "19 runs: lr" }).waitFor();
      await grid.getByRole("searchbox").fill("^lr$");
      await expect.poll(() => grid.locator(".metric-card").count()).toBe(1);
      await grid.getByTitle("Draw it large").click();
      await page.getByRole("img", { name: "lr of 19 runs", exact: true }).waitFor();
      expect(parameter("curve")).toBe("lr");

      // The baseline goes along to the table, where each known loss has its difference.
      await page.getByRole("link", { name: "Choose runs" }).click();
      await page.getByRole("button", { name: "Baseline: many 0" }).first().waitFor();
      const row = page.getByRole("row").filter({ has: page.getByText("many 4", { exact: true }) });
      await row.locator(".delta").first().waitFor();
      expect(parameter("baseline")).toBe(String(first));
      const own = page.getByRole("row").filter({ has: page.getByText("many 0", { exact: true }) });
      expect(await own.locator(".delta").count()).toBe(0);
    });
  }, 120_000);

  it("of more runs than are drawn say so", async () => {
    const id = await record({ task_name: "one of many" }, 5, (step) => ({ loss: step }));
    const ids = [id, ...Array.from({ length: 60 }, (_, n) => 900_000 + n)];
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/compare?ids=${ids}`);
      await page.getByText("61 runs are chosen; the first 50 are drawn.").waitFor();
      await page.getByText(/^Not found: #900000, /).waitFor();
    });
  });

  it("and settings are written without the noise of their arithmetic", async () => {
    const noisy = { learning_rate: 3 * 2e-5 * (7 / 6), lora_alpha: 0.1 + 0.2 };
    expect(String(noisy.lora_alpha)).toBe("0.30000000000000004");
    const config = { text: `rate = ${0.1 + 0.2}\n`, format: "toml" };
    const id = await record({ task_name: "noisy", ...noisy, config }, 3, (step) => ({
      loss: step,
    }));
    await pages.signedIn(async (page) => {
      for (const path of ["/runs?cols=lora_alpha,config.rate", `/runs/${id}?tab=parameters`]) {
        await page.goto(`${pages.url}${path}`);
        await page.getByText("0.3", { exact: true }).first().waitFor();
        await settled(page);
        expect(await page.locator("main").innerText()).not.toMatch(/0000000000|9999999999/);
        expect(await page.locator("main").innerHTML()).not.toContain("0.30000000000000004");
      }
    });
  });
});
