// Saved views and the table's columns, in a real Chromium over the real stack.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, chromiumPath, looks, openPages, type Pages } from "./browser.ts";
import { type Stack, startStack } from "./stack.ts";

describe.skipIf(!chromiumPath())("views of the runs", () => {
  let stack: Stack;
  let pages: Pages;
  let anna: string;
  let bert: string;
  beforeAll(async () => {
    stack = await startStack();
    pages = await openPages(stack);
    anna = await stack.key("anna");
    bert = await stack.key("bert");
    for (const [name, rank] of [
      ["small", 4],
      ["middle", 32],
      ["large", 128],
    ] as const)
      await stack.api("/api/tasks", { task_name: name, lora_rank: rank }, anna);
  }, 120_000);
  afterAll(async () => {
    await pages?.close();
    await stack?.stop();
  });

  const runs = (page: Page) => page.locator(".run-link").allTextContents();
  const menu = (page: Page, name: string | RegExp) => page.getByRole("button", { name });
  const choose = (page: Page, item: string) =>
    page.locator(".menu").getByText(item, { exact: true }).click();
  const heads = (page: Page) =>
    page.locator(".runs-head [role=columnheader] .clip").allTextContents();

  it("are saved under a name, changed, shared by their link, renamed and deleted", async () => {
    const link = await pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/runs?filter=lora_rank+%3E+8&order=lora_rank`);
        await menu(page, "Views").click();
        await page.getByText("No views yet").waitFor();
        await choose(page, "Save as a new view…");
        await page.getByRole("textbox", { name: "Name" }).fill("large ranks");
        await page.getByRole("button", { name: "Save", exact: true }).click();
        await menu(page, "View large ranks").waitFor();
        const saved = page.url();
        expect(saved).toMatch(/\/runs\?view=\d+$/);
        expect(await runs(page)).toEqual(["middle", "large"]);

        // The link alone opens it; what is changed from there stands in the address, and is told.
        await page.goto("about:blank");
        await page.goto(saved);
        await page.getByText("2 runs").waitFor();
        expect(await runs(page)).toEqual(["middle", "large"]);
        await page.getByRole("columnheader", { name: "Rank" }).getByRole("button").click();
        await menu(page, "View large ranks changed").waitFor();
        expect(page.url()).toContain("order=-lora_rank");
        expect(page.url()).toContain(saved.split("?")[1]);
        await page.reload();
        await menu(page, "View large ranks changed").click();
        await choose(page, "Revert to the saved view");
        await menu(page, /^View large ranks$/).waitFor();
        expect(page.url()).toBe(saved);

        // Also that everything was taken away is a change.
        await page.getByRole("columnheader", { name: "Rank" }).getByRole("button").click();
        await page.getByRole("columnheader", { name: "Rank" }).getByRole("button").click();
        await page.getByRole("combobox", { name: "Filter" }).fill("");
        await page.keyboard.press("Enter");
        await page.getByText("3 runs").waitFor();
        await page.reload();
        await page.getByText("3 runs").waitFor();
        await menu(page, "View large ranks changed").waitFor();
        await page.getByRole("combobox", { name: "Filter" }).fill("lora_rank >= 128");
        await page.keyboard.press("Enter");
        await page.getByText("1 run", { exact: true }).waitFor();
        await menu(page, "View large ranks changed").click();
        await choose(page, "Save the changes");
        await menu(page, /^View large ranks$/).waitFor();
        await expect.poll(() => page.url()).toBe(saved);
        return saved;
      },
      { key: anna },
    );
    const id = link.split("=")[1];
    expect(await stack.api(`/api/views/${id}`, undefined, anna)).toMatchObject({
      query: "filter=lora_rank+%3E%3D+128",
      shared: false,
      version: 2,
    });

    // What is not shared opens for nobody else, and its page says so.
    await pages.signedIn(
      async (page) => {
        await page.goto(link);
        await page.getByRole("alert").getByText(`no view ${id}`).waitFor();
        await page.getByRole("link", { name: "Show all runs" }).click();
        await page.getByText("3 runs").waitFor();
      },
      { key: bert },
    );
    await pages.signedIn(
      async (page) => {
        await page.goto(link);
        await menu(page, "View large ranks").click();
        await choose(page, "Rename or share…");
        await page.getByRole("textbox", { name: "Name" }).fill("the largest");
        await page.getByRole("checkbox", { name: /Everyone may open the view/ }).check();
        await page.getByRole("button", { name: "Save", exact: true }).click();
        await menu(page, "View the largest").waitFor();
        // A name one has already is refused where it was typed.
        await menu(page, "View the largest").click();
        await choose(page, "Save as a new view…");
        await page.getByRole("textbox", { name: "Name" }).fill("the largest");
        await page.getByRole("button", { name: "Save", exact: true }).click();
        await page.getByRole("dialog").getByRole("alert").getByText("already").waitFor();
        await page.keyboard.press("Escape");
        await page.getByRole("dialog").waitFor({ state: "hidden" });
      },
      { key: anna },
    );
    await pages.signedIn(
      async (page) => {
        await menu(page, "Views").click();
        await page.getByRole("link", { name: "the largest anna" }).click();
        await page.getByText("1 run", { exact: true }).waitFor();
        expect(page.url()).toBe(link);
        await menu(page, "View the largest").click();
        await page.locator(".menu").getByText("Copy the link").waitFor();
        for (const item of ["Rename or share…", "Delete the view…"])
          expect(await page.locator(".menu").getByText(item).count()).toBe(0);
      },
      { key: bert },
    );
    await pages.signedIn(
      async (page) => {
        await page.goto(link);
        await menu(page, "View the largest").click();
        await choose(page, "Delete the view…");
        await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
        await menu(page, /^Views$/).waitFor();
        // What was shown stays, as an address of its own.
        expect(await runs(page)).toEqual(["large"]);
        expect(page.url()).not.toContain("view=");
        await page.goto(link);
        await page.getByRole("alert").getByText(`no view ${id}`).waitFor();
      },
      { key: anna },
    );
  });

  it("are reached by the keyboard alone", async () => {
    await stack.api("/api/views", { name: "by key", query: "q=small" }, anna);
    await pages.signedIn(
      async (page) => {
        await page.getByText("3 runs").waitFor();
        await menu(page, "Views").focus();
        await page.keyboard.press("Enter");
        await page.getByRole("link", { name: "by key" }).waitFor();
        await page.keyboard.press("ArrowDown");
        await page.keyboard.press("Escape");
        await expect.poll(() => page.locator(".menu:popover-open").count()).toBe(0);
        await expect
          .poll(() => page.evaluate<string>("document.activeElement.textContent"))
          .toBe("Views");
        await page.keyboard.press("Enter");
        await page.getByRole("link", { name: "by key" }).waitFor();
        await page.keyboard.press("ArrowDown");
        await page.keyboard.press("Enter");
        await page.getByText("1 run", { exact: true }).waitFor();
        await menu(page, "View by key").press("Enter");
        await page.keyboard.press("ArrowUp");
        await page.keyboard.press("Enter");
        await page.getByRole("dialog").getByText("Delete the view by key?").waitFor();
        await page.keyboard.press("Escape");
        await expect
          .poll(() => page.evaluate<string>("document.activeElement.textContent"))
          .toContain("by key");
      },
      { key: anna },
    );
  });

  it("keep their columns as they are dragged, moved by key and made wider", async () => {
    await pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/runs?cols=status,lora_rank,optimizer,created_at`);
        await page.getByText("3 runs").waitFor();
        const rank = page.getByRole("columnheader", { name: "Rank" });
        const optimizer = page.getByRole("columnheader", { name: "Optimizer" });
        const order = "Run Status Rank Optimizer Created".split(" ");
        expect(await heads(page)).toEqual(order);

        const place = async (of: typeof rank) => {
          const box = await of.boundingBox();
          if (!box) throw new Error("the column's head is not there");
          return box;
        };
        const from = await place(rank);
        const onto = await place(optimizer);
        await page.mouse.move(from.x + 20, from.y + 10);
        await page.mouse.down();
        await page.mouse.move(onto.x + onto.width - 10, onto.y + 10, { steps: 6 });
        await page.mouse.up();
        await expect
          .poll(() => heads(page))
          .toEqual("Run Status Optimizer Rank Created".split(" "));
        // It was dragged, not clicked: nothing is ordered by it.
        expect(decodeURIComponent(page.url())).toMatch(
          /\?cols=status,optimizer,lora_rank,created_at$/,
        );
        await rank.getByRole("button").press("Shift+ArrowLeft");
        await expect.poll(() => heads(page)).toEqual(order);
        await page.keyboard.press("Shift+ArrowLeft");
        await expect
          .poll(() => heads(page))
          .toEqual("Run Rank Status Optimizer Created".split(" "));
        await page.getByText("Rank: column 1 of 4").waitFor();
        await page.keyboard.press("Shift+ArrowLeft");
        await page.keyboard.press("Enter");
        await expect.poll(() => page.url()).toContain("order=lora_rank");

        const edge = page.getByRole("separator", { name: "Width of Optimizer" });
        await edge.press("ArrowRight");
        await edge.press("ArrowRight");
        await expect.poll(() => page.url()).toContain("optimizer:132");
        await edge.press("ArrowLeft");
        await expect.poll(() => page.url()).toContain("optimizer:116");
        const at = await place(edge);
        await page.mouse.move(at.x + 4, at.y + 8);
        await page.mouse.down();
        await page.mouse.move(at.x + 64, at.y + 8, { steps: 4 });
        await expect.poll(async () => Math.round((await place(optimizer)).width)).toBe(176);
        expect(page.url()).toContain("optimizer:116");
        await page.mouse.up();
        await expect.poll(() => page.url()).toContain("optimizer:176");
        await page.reload();
        await page.getByText("3 runs").waitFor();
        expect(await heads(page)).toEqual("Run Rank Status Optimizer Created".split(" "));
        expect(Math.round((await place(optimizer)).width)).toBe(176);
      },
      { key: anna },
    );
  });

  it("show viewers what is shared and no way to save, and names as the text they are", async () => {
    const evil = '<img src=x onerror="window.hit=1">';
    const query = "cols=status,lora_rank";
    const { id } = await stack.api("/api/views", { name: evil, query, shared: true }, bert);
    // Its menu is wider than its button, and stays on the phone's screen.
    await stack.api("/api/views", { name: "a view of a very long name", query }, anna);
    for (const options of Object.values(looks))
      await pages.signedIn(
        async (page) => {
          await page.goto(`${pages.url}/runs?view=${id}&order=id&cols=status`);
          await menu(page, `View ${evil} changed`).click();
          await page.getByRole("link", { name: "a view of a very long name" }).waitFor();
          expect(await axe(page)).toEqual([]);
          const box = await page.locator(".filter-row .menu-anchor .menu").boundingBox();
          expect(box?.x).toBeGreaterThanOrEqual(0);
          expect((box?.x ?? 0) + (box?.width ?? 0)).toBeLessThanOrEqual(
            options.viewport?.width ?? 0,
          );
          await choose(page, "Save as a new view…");
          expect(await axe(page)).toEqual([]);
          await page.keyboard.press("Escape");
          expect(await page.evaluate("String(window.hit)")).toBe("undefined");
          expect(await page.locator("img[src=x]").count()).toBe(0);
        },
        { key: anna, options },
      );
    await pages.signedIn(
      async (page) => {
        await menu(page, "Views").click();
        await page.getByRole("link", { name: evil }).click();
        await menu(page, `View ${evil}`).click();
        await page.locator(".menu").getByText("Copy the link").waitFor();
        expect(await page.locator(".menu").getByText("Save as a new view…").count()).toBe(0);
      },
      { key: await stack.key("viola", "viewer") },
    );
  });

  it("speak Chinese", async () => {
    await pages.signedIn(
      async (page) => {
        await page.getByRole("button", { name: /signing out/ }).click();
        await page.getByRole("button", { name: "简体中文" }).click();
        await menu(page, "视图").click();
        await page.locator(".menu").getByText("另存为新视图…").waitFor();
      },
      { key: anna },
    );
  });
});
