// Searching, filtering, selecting and changing runs on their page, in a real Chromium over the real stack.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, chromiumPath, desktop, looks, openPages, type Pages, settled } from "./browser.ts";
import { type Stack, startStack } from "./stack.ts";

const RUNS = 260;

describe.skipIf(!chromiumPath())("the runs' page", () => {
  let stack: Stack;
  let pages: Pages;
  beforeAll(async () => {
    stack = await startStack({ CURRENCY: "EUR" });
    pages = await openPages(stack);
    for (let n = 0; n < RUNS; n += 20)
      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          stack.api("/api/tasks", {
            task_name: `sweep of the aki data network_dim=32 learning_rate=${n + i}e-5 dataset=aki-v2`,
            lora_rank: (n + i) % 2 ? 16 : 64,
            experiment_group: (n + i) % 4 ? "sweep" : "other",
            optimizer: "AdamW8bit",
          }),
        ),
      );
    // Some of them run: they cannot be deleted.
    for (const id of [1, 2, 3])
      await stack.api(`/api/tasks/${id}/heartbeat`, { attempt: 1, seq: 1, logs: [] });
    await stack.api("/api/tasks", { task_name: "lonely", lora_rank: 8, notes: "夜空" });
  }, 240_000);
  afterAll(async () => {
    await pages?.close();
    await stack?.stop();
  });

  const box = (page: Page) => page.getByRole("combobox", { name: "Search or filter" });
  const params = (page: Page) => Object.fromEntries(new URL(page.url()).searchParams);
  const count = (page: Page, text: string) => page.getByText(text, { exact: true }).waitFor();
  const fetched = (path: string, method = "GET", body?: object) =>
    fetch(`${stack.url}${path}`, {
      method,
      headers: { Authorization: `Bearer ${stack.admin}`, "Content-Type": "application/json" },
      ...(body && { body: JSON.stringify(body) }),
    });

  it("takes words, a filter, or both, in one box that Tab only leaves", async () => {
    await pages.signedIn(async (page) => {
      await box(page).focus();
      await page.getByRole("option").first().waitFor();
      await page.keyboard.press("Tab");
      expect(await box(page).inputValue()).toBe("");
      expect(await page.getByRole("alert").count()).toBe(0);
      await expect
        .poll(() => page.evaluate<string>("document.activeElement.textContent"))
        .toBe("Filter");

      await box(page).fill("夜");
      await page.keyboard.press("Enter");
      await count(page, "1 run");
      expect(params(page)).toEqual({ q: "夜" });
      await box(page).fill("aki lora_rank > 16");
      await page.keyboard.press("Enter");
      await expect.poll(() => params(page)).toEqual({ q: "aki", filter: "lora_rank > 16" });
      await page.reload();
      expect(await box(page).inputValue()).toBe("aki lora_rank > 16");

      // Enter takes a completion only where the arrow keys have chosen it.
      await box(page).fill("");
      await box(page).pressSequentially("lora_r");
      await page.getByRole("option", { name: "lora_rank", exact: true }).waitFor();
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("Enter");
      expect(await box(page).inputValue()).toBe("lora_rank ");
      await box(page).pressSequentially("= 8");
      await page.keyboard.press("Enter");
      await count(page, "1 run");

      // What was asked for before is offered by an empty box.
      await box(page).fill("");
      await page.getByRole("option", { name: "aki lora_rank > 16" }).click();
      await expect.poll(() => params(page)).toEqual({ q: "aki", filter: "lora_rank > 16" });

      // A name that is misspelt is put right by one click, a text without quotes too.
      await box(page).fill("aki lora_rnk > 16");
      await page.keyboard.press("Enter");
      await page.getByRole("alert").filter({ hasText: "Character 5" }).waitFor();
      await page.getByRole("button", { name: "Write lora_rank", exact: true }).click();
      await expect.poll(() => params(page)).toEqual({ q: "aki", filter: "lora_rank > 16" });
      await box(page).fill("experiment_group = sweep");
      await page.keyboard.press("Enter");
      await page.getByRole("button", { name: "Write 'sweep'" }).click();
      await expect.poll(() => params(page)).toEqual({ filter: "experiment_group = 'sweep'" });
      await page.getByRole("group", { name: "Group" }).getByText("sweep").waitFor();
    });
  });

  it("narrows by chips with counts, by a cell, and by rows without code; Back goes one step", async () => {
    await pages.signedIn(async (page) => {
      const chip = (name: string | RegExp) => page.getByRole("button", { name });
      await chip(`All ${RUNS + 1}`).waitFor();
      await chip("Running 3").click();
      await count(page, "3 runs");
      expect(params(page)).toEqual({ status: "running" });
      await page.goBack();
      await chip(/^other 65$/).click();
      await count(page, "65 runs");
      expect(params(page)).toEqual({ filter: "experiment_group = 'other'" });
      await chip(/^other 65$/).click();
      await expect.poll(() => params(page)).toEqual({});
      await page.goBack();
      await count(page, "65 runs");
      await page.goBack();
      await chip(`All ${RUNS + 1}`).waitFor();
      expect(params(page)).toEqual({});

      const cell = page.locator('[data-row="0"] [data-column="4"]');
      await cell.getByText("8", { exact: true }).click({ button: "right" });
      await page.getByRole("button", { name: "lora_rank >= 8" }).waitFor();
      await page.keyboard.press("Enter");
      await expect.poll(() => params(page)).toEqual({ filter: "lora_rank = 8" });
      await count(page, "1 run");
      await page.goBack();

      // The key f offers the same for a row.
      const table = page.getByRole("table", { name: "Runs" });
      await chip(`All ${RUNS + 1}`).waitFor();
      await table.focus();
      await page.keyboard.press("ArrowDown");
      await page.keyboard.press("f");
      await page.getByRole("button", { name: "lora_rank = 8" }).click();
      await count(page, "1 run");

      await page.getByRole("button", { name: "Build a filter" }).click();
      const dialog = page.getByRole("dialog", { name: "Build a filter" });
      // The filter that is there comes as a row.
      expect(await dialog.getByRole("combobox", { name: "Field" }).inputValue()).toBe("lora_rank");
      await dialog.getByRole("combobox", { name: "Comparison" }).selectOption(">");
      await dialog.getByRole("button", { name: "Add a row" }).click();
      const second = dialog.getByRole("group", { name: "Row 2" });
      await second.getByRole("combobox", { name: "Field" }).fill("task_name");
      await second.getByRole("combobox", { name: "Comparison" }).selectOption("contains");
      await second.getByRole("combobox", { name: "Value" }).fill("=7e");
      await dialog.getByText("lora_rank > 8 and task_name like '%=7e%'").waitFor();
      expect(await axe(page)).toEqual([]);
      await dialog.getByRole("button", { name: "Filter", exact: true }).click();
      await count(page, "1 run");
      expect(await box(page).inputValue()).toBe("lora_rank > 8 and task_name like '%=7e%'");
    });
  });

  it("fits its columns into 1,280 px, and cuts names where they are the same", async () => {
    await pages.signedIn(
      async (page) => {
        await page.locator(".run-link").first().waitFor();
        const heads = await page.locator(".runs-head [role=columnheader] .clip").allTextContents();
        expect(heads).toEqual([
          ...["Run", "Status", "Loss curve", "Final loss", "Best loss", "Rank", "LR"],
          ...["Optimizer", "Cost", "Created"],
        ]);
        expect(
          await page
            .locator(".runs-scroller")
            .evaluate(
              (element: { scrollWidth: number; clientWidth: number }) =>
                element.scrollWidth - element.clientWidth,
            ),
        ).toBe(0);
        const link = page.locator('[data-row="3"] .run-link');
        // Neighbours begin alike; the part that differs is in sight.
        await link
          .locator(".name-cut")
          .getByText(/^\d+e-5 dataset=aki-v2$/)
          .waitFor();
        expect(await link.textContent()).toContain("sweep of the aki data");

        const edge = page.getByRole("separator", { name: "Width of Run" });
        await edge.press("ArrowRight");
        await expect.poll(() => params(page).cols).toContain("task_name:266");
        // A person finds the columns again, without the address.
        await page.goto(`${pages.url}/runs`);
        await page.locator(".run-link").first().waitFor();
        expect(await edge.getAttribute("aria-valuenow")).toBe("266");
      },
      { options: { ...desktop, viewport: { width: 1280, height: 800 } } },
    );
  });

  it("opens a row by a click, and leads back to the place and the row", async () => {
    await pages.signedIn(async (page) => {
      await page.locator(".run-link").first().waitFor();
      const scroller = page.locator(".runs-scroller");
      await scroller.evaluate((element: { scrollTop: number }) => {
        element.scrollTop = 1200;
      });
      const row = page.locator('[data-row="40"]');
      const name = await row.locator(".run-link").getAttribute("title");
      await row.locator("[data-column='4']").click();
      await page.getByRole("heading", { name: name ?? "" }).waitFor();
      await page.goBack();
      await row.waitFor();
      await expect
        .poll(() => scroller.evaluate((element: { scrollTop: number }) => element.scrollTop))
        .toBe(1200);
      await page.locator('[data-row="40"].active').waitFor();
      await expect
        .poll(() => page.evaluate<string>("document.activeElement.className"))
        .toContain("runs-scroller");
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: name ?? "" }).waitFor();
      // Sorting is a step of its own.
      await page.goBack();
      await page.getByRole("columnheader", { name: "Rank" }).getByRole("button").click();
      await expect.poll(() => params(page).order).toBe("lora_rank");
      await page.goBack();
      await expect.poll(() => params(page)).toEqual({});
      // A new visit begins at the top.
      await page.getByRole("link", { name: "Board", exact: true }).click();
      await page.getByRole("link", { name: /^Runs/ }).click();
      await page.locator('[data-row="0"]').waitFor();
      expect(await scroller.evaluate((element: { scrollTop: number }) => element.scrollTop)).toBe(
        0,
      );
    });
  });

  it("selects ranges, all rows, and all that match; changes them after a look, and undoes it", async () => {
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs?filter=${encodeURIComponent("lora_rank > 8")}`);
      await page.getByRole("button", { name: `All ${RUNS}` }).waitFor();
      const checks = page.getByRole("checkbox", { name: /^Select sweep/ });
      await checks.nth(1).click();
      await checks.nth(5).click({ modifiers: ["Shift"] });
      await page.getByText("5 runs selected").waitFor();
      await page.getByRole("button", { name: "Curves" }).click();
      await expect.poll(() => page.locator(".overlay").count()).toBe(0);
      const dialog = page.getByRole("dialog");
      const press = (name: string | RegExp) => page.getByRole("button", { name }).click();

      await press("Move to a group…");
      await dialog.getByRole("combobox", { name: "Group" }).fill("best");
      await press("Next");
      await dialog.getByText("5 of 5 runs move to the group.").waitFor();
      expect(await axe(page)).toEqual([]);
      await press("Move 5 runs");
      await dialog.getByText("5 of 5 runs are in the group.").waitFor();
      const inBest = async () =>
        (await stack.api("/api/stats/tasks?filter=experiment_group%20%3D%20'best'")).items[0]
          ?.values.count ?? 0;
      expect(await inBest()).toBe(5);
      await press("Undo");
      await dialog.getByText("5 runs are as before.").waitFor();
      expect(await inBest()).toBe(0);
      await press("Close");

      // Those that run stay, and are named before anything happens.
      await press(`Select all ${RUNS} that match`);
      await page.getByText(`All ${RUNS} runs that match`).waitFor();
      await press("Delete…");
      await dialog.getByText(`${RUNS - 3} of ${RUNS} runs move to the trash.`).waitFor();
      await dialog.getByText("3 are running").waitFor();
      expect((await fetched("/api/tasks/9")).status).toBe(200);
      await press(`Delete ${RUNS - 3} runs`);
      await dialog.getByText(`${RUNS - 3} of ${RUNS} runs are in the trash.`).waitFor();
      expect((await fetched("/api/tasks/9")).status).toBe(404);
      await press("Undo");
      await dialog.getByText(`${RUNS - 3} runs are as before.`).waitFor();
      expect((await fetched("/api/tasks/9")).status).toBe(200);
      await press("Close");
      await page
        .getByRole("button", { name: `All ${RUNS}` })
        .first()
        .waitFor();
    });
  });

  it("says what is done where a change fails in its middle, and goes on there", async () => {
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs?filter=${encodeURIComponent("lora_rank > 8")}`);
      await page.getByRole("button", { name: `All ${RUNS}` }).waitFor();
      const checks = page.getByRole("checkbox", { name: /^Select sweep/ });
      await checks.nth(1).click();
      await checks.nth(2).click();
      await page.getByRole("button", { name: `Select all ${RUNS} that match` }).click();
      await page.getByRole("button", { name: "Tag…" }).click();
      await page.getByRole("textbox", { name: "Tag" }).fill("kept");
      await page.getByRole("textbox", { name: "Value" }).fill("yes");
      await page.getByRole("button", { name: "Next" }).click();
      await page.getByText(`${RUNS} of ${RUNS} runs get the tag.`).waitFor();
      let calls = 0;
      await page.route("**/api/tasks/bulk", (route) =>
        ++calls === 2 ? route.abort() : route.continue(),
      );
      await page.getByRole("button", { name: `Tag ${RUNS} runs` }).click();
      await page.getByText("200 runs have changed; 1 of 2 parts are done.").waitFor();
      await page.getByRole("dialog").getByRole("alert").getByText("cannot be reached").waitFor();
      await page.getByRole("button", { name: "Go on" }).click();
      await page.getByText(`${RUNS} of ${RUNS} runs have the tag.`).waitFor();
    });
  });

  it("queues and cancels, keeps the trash apart, and offers nothing to a viewer", async () => {
    const ids: number[] = [];
    for (const name of ["one", "two"])
      ids.push(
        (await stack.api("/api/tasks", { task_name: `queue ${name}`, lora_rank: 4 })).task_id,
      );
    const address = `/runs?q=queue&sel=${ids.join(",")}`;
    await pages.signedIn(async (page) => {
      await page.goto(pages.url + address);
      await page.getByText("2 runs selected").waitFor();
      const dialog = page.getByRole("dialog");
      for (const [open, go, done] of [
        ["Queue…", "Queue 2 runs", "2 of 2 runs are in the queue."],
        ["Cancel…", "Cancel 2 runs", "2 of 2 runs were cancelled."],
        ["Delete…", "Delete 2 runs", "2 of 2 runs are in the trash."],
      ] as const) {
        await page.getByRole("button", { name: open }).click();
        await page.getByRole("button", { name: go }).click();
        await dialog.getByText(done).waitFor();
        await dialog.getByRole("button", { name: "Close" }).click();
      }
      await page.getByRole("button", { name: "Trash" }).click();
      await count(page, "2 runs");
      await page.getByRole("checkbox", { name: "Select queue one" }).click();
      await page.getByRole("button", { name: "Restore…" }).click();
      await page.getByRole("button", { name: "Restore 1 runs" }).click();
      await dialog.getByText("1 of 1 runs are restored.").waitFor();
      expect((await fetched(`/api/tasks/${ids[0]}`)).status).toBe(200);
    });
    await pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/runs?sel=${ids[0]}`);
        await page.getByText("1 run selected").waitFor();
        expect(await page.getByRole("button", { name: "Delete…" }).count()).toBe(0);
      },
      { key: await stack.key("viola", "viewer") },
    );
  });

  it("is fit for all: themes, phones, selected rows and their bar", async () => {
    for (const [look, options] of Object.entries(looks))
      await pages.signedIn(
        async (page) => {
          await page.goto(`${pages.url}/runs?sel=4,5`);
          await page.getByText("2 runs selected").waitFor();
          await page.locator(".run-link").first().waitFor();
          await settled(page);
          expect([look, await axe(page)]).toEqual([look, []]);
          expect(
            await page.evaluate("document.documentElement.scrollWidth - innerWidth"),
          ).toBeLessThanOrEqual(0);
        },
        { options },
      );
  });
});
