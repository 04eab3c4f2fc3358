// A run's page in a real Chromium over the real stack: acting on the run in place, its console, and notes
// with hostile markup.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";
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
import { type Stack, startStack } from "./stack.ts";
import { lora, png, upload } from "./uploads.ts";

/** A machine may have much else to do. */
const soon = { timeout: 20_000 };

describe.skipIf(!chromiumPath())("a run's page", () => {
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

  const register = async (body: object, key = stack.admin) =>
    Number((await stack.api("/api/tasks", body, key)).task_id);
  const files = (): Parameters<typeof upload>[0] => ({
    call: (path, { key, json } = {}) => stack.api(path, json, key),
    request: (path, init) => fetch(path.startsWith("http") ? path : stack.url + path, init),
  });
  const change = (id: number, json: object, key = stack.admin) =>
    fetch(`${stack.url}/api/tasks/${id}`, {
      method: "PATCH",
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      body: JSON.stringify(json),
    });
  const dialog = (page: Page) => page.getByRole("dialog");

  it("renames the run and moves it, says who was first, and keeps what was typed", async () => {
    const id = await register({ task_name: "old name", experiment_group: "first" });
    const other = await stack.key("bea", "admin");
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      await page.getByRole("button", { name: "More" }).click();
      await page.getByRole("button", { name: "Rename…" }).click();
      const name = dialog(page).getByRole("textbox", { name: "Name" });
      expect(await name.inputValue()).toBe("old name");
      await name.fill("mine");
      expect((await change(id, { task_name: "theirs" }, other)).status).toBe(200);
      await dialog(page).getByRole("button", { name: "Save" }).click();
      await dialog(page).getByText("bea changed this run meanwhile").waitFor();
      await dialog(page).getByText("Meanwhile it says: theirs").waitFor();
      expect(await name.inputValue()).toBe("mine");
      await dialog(page).getByRole("button", { name: "Save" }).click();
      await page.getByRole("heading", { name: "mine", exact: true }).waitFor();
      await expect.poll(() => page.title(), soon).toBe("mine · Runs · LoRA Ledger");

      await page.getByRole("button", { name: "More" }).click();
      await page.getByRole("button", { name: "Move to a group…" }).click();
      await dialog(page).getByRole("textbox", { name: "Group" }).fill("second");
      await dialog(page).getByRole("button", { name: "Move" }).click();
      await page.locator(".run-about").getByText("second").waitFor();
      expect(await stack.api(`/api/tasks/${id}`)).toMatchObject({
        ...{ task_name: "mine", experiment_group: "second" },
      });
    });
  });

  it("retries what a queue gave, and offers the queue to what none did", async () => {
    const end = { status: "failed", failure_reason: "error", error_message: "went wrong" };
    const plain = await register({ task_name: "by hand" });
    await stack.api(`/api/tasks/${plain}/finish`, end);
    const queued = await register({ task_name: "from the queue", queue: { labels: ["a100"] } });
    await stack.api(`/api/tasks/${queued}/cancel`, {});
    const waiting = async () =>
      (await stack.api("/api/queue")).items.map(({ task_id }: { task_id: number }) => task_id);
    expect(await waiting()).toEqual([]);
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${queued}`);
      expect(await page.getByRole("button", { name: "Queue it…" }).count()).toBe(0);
      await page.getByRole("button", { name: "Retry" }).click();
      await page.locator(".page-head .badge.pending").waitFor();
      expect(await waiting()).toEqual([queued]);

      await page.goto(`${pages.url}/runs/${plain}`);
      await page.getByRole("button", { name: "Queue it…" }).waitFor();
      expect(await page.getByRole("button", { name: "Retry" }).count()).toBe(0);
      // Why it failed is one line above the tabs, on each of them.
      const line = page.locator(".failure");
      await line.getByText("went wrong").waitFor();
      expect((await line.boundingBox())?.height).toBeLessThan(40);
      await page.getByRole("button", { name: "Queue it…" }).click();
      await dialog(page).getByRole("textbox", { name: "Required labels" }).fill("4090, bad label!");
      await dialog(page).getByRole("spinbutton", { name: "Minimum GPU memory" }).fill("24");
      await dialog(page).getByRole("spinbutton", { name: "Priority" }).fill("5");
      await dialog(page).getByRole("spinbutton", { name: "Tries" }).fill("2");
      await dialog(page).getByRole("textbox", { name: "Required labels" }).fill("4090, sdxl");
      await dialog(page).getByRole("button", { name: "Queue it" }).click();
      await page.locator(".page-head .badge.pending").waitFor();
      expect(await page.getByRole("button", { name: "Queue it…" }).count()).toBe(0);
      expect(await waiting()).toContain(plain);
      expect(await stack.api(`/api/tasks/${plain}`)).toMatchObject({
        ...{ labels: ["4090", "sdxl"], min_gpu_memory_gb: 24, priority: 5, max_attempts: 2 },
      });
    });
  });

  it("makes one of its files a version, of a new model or of one that exists", async () => {
    const id = await register({ task_name: "with a file" });
    await upload(files(), stack.admin, id, lora(), { filename: "last.safetensors" });
    await upload(files(), stack.admin, id, lora(), {
      ...{ filename: "step-10.safetensors", kind: "checkpoint" },
    });
    await stack.api("/api/models", { name: "taken" });
    await pages.signedIn(async (page) => {
      const make = (name: string) =>
        page.getByRole("button", { name: `Make a version of ${name}` }).click();
      await page.goto(`${pages.url}/runs/${id}?tab=files`);
      await make("last.safetensors");
      await dialog(page).getByRole("button", { name: "A new model" }).click();
      const model = dialog(page).getByRole("combobox", { name: "Model" });
      const named = dialog(page).getByRole("textbox", { name: "Model" }).or(model);
      await named.fill("taken");
      await dialog(page).getByRole("button", { name: "Make the version" }).click();
      await dialog(page).getByText("There is a model named taken already").waitFor();
      await named.fill("portrait");
      await dialog(page).getByRole("textbox", { name: "Notes (optional)" }).fill("**first**");
      await dialog(page).getByRole("button", { name: "Make the version" }).click();
      await page.getByRole("heading", { name: "Version 1" }).waitFor();
      await page.getByText("first", { exact: true }).waitFor();
      await expect.poll(() => page.title(), soon).toBe("portrait · Models · LoRA Ledger");

      await page.goto(`${pages.url}/runs/${id}?tab=files`);
      await make("step-10.safetensors");
      await named.fill("portrait");
      await dialog(page).getByRole("button", { name: "Make the version" }).click();
      await page.getByRole("heading", { name: "Version 2" }).waitFor();

      await page.goto(`${pages.url}/models`);
      await page.getByRole("button", { name: "New model" }).click();
      await dialog(page).getByRole("textbox", { name: "Name" }).fill("no such name!");
      await dialog(page).getByRole("button", { name: "Make the model" }).click();
      await dialog(page).getByRole("alert").waitFor();
      await dialog(page).getByRole("textbox", { name: "Name" }).fill("empty-one");
      await dialog(page).getByRole("button", { name: "Make the model" }).click();
      await page.getByText("No versions yet").waitFor();
    });
    const reader = await stack.key("reader", "viewer");
    await pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/runs/${id}?tab=files`);
        await page.getByText("last.safetensors").waitFor();
        expect(await page.getByRole("button", { name: /Make a version/ }).count()).toBe(0);
      },
      { key: reader },
    );
  });

  it("draws notes in Markdown, of which nothing runs and no link leads astray", async () => {
    const notes = readFileSync(join(root, "test/hostile-note.md"), "utf8");
    const id = await register({ task_name: "noted", notes });
    await pages.signedIn(async (page) => {
      const asked: string[] = [];
      page.on("request", (request) => asked.push(request.url()));
      await page.goto(`${pages.url}/runs/${id}`);
      const note = page.getByRole("region", { name: "Notes" });
      await note.getByText("bold", { exact: true }).waitFor();
      await settled(page);
      const facts = await note.evaluate((element) => {
        const links = [...element.querySelectorAll("a")];
        return {
          tags: [...new Set([...element.querySelectorAll("*")].map((one) => one.tagName))].sort(),
          hrefs: links.map((link) => link.getAttribute("href")),
          unsafe: links.filter(
            (link) =>
              /^https?:/.test(link.getAttribute("href") ?? "") &&
              (link.rel !== "noopener noreferrer" || link.target !== "_blank"),
          ).length,
          handlers: [...element.querySelectorAll("*")].filter((one) =>
            one.getAttributeNames().some((name: string) => name.startsWith("on")),
          ).length,
        };
      });
      expect(facts.hrefs).toEqual([
        ...["https://example.com/a?b=1&c=2", "/runs/1", "https://example.com/plain"],
        "https://tracker.example/p.png",
      ]);
      expect(facts).toMatchObject({ unsafe: 0, handlers: 0 });
      for (const tag of ["SCRIPT", "IMG", "IFRAME", "STYLE", "SVG", "FORM", "BASE", "OBJECT"])
        expect(facts.tags).not.toContain(tag);
      expect(facts.tags).toEqual(expect.arrayContaining(["STRONG", "LI", "CODE", "TABLE"]));
      await note.getByText("<script>window.hit = 1</script>").waitFor();
      expect(await page.evaluate("String(window.hit)")).toBe("undefined");
      expect(asked.filter((url) => !url.startsWith(pages.url))).toEqual([]);
    });
  });

  it("keeps a draft through other tabs of the run, a reload and the end of the session", async () => {
    const id = await register({ task_name: "drafted" });
    const [context, page] = await pages.open();
    try {
      await page.goto(pages.url);
      await page.getByRole("textbox", { name: "Key" }).fill(stack.admin);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("navigation", { name: "Pages" }).waitFor();
      await page.goto(`${pages.url}/runs/${id}`);
      await page.getByRole("button", { name: "Edit the notes" }).click();
      const notes = page.getByRole("textbox", { name: "Notes" });
      await notes.fill("half a thought");
      await page.getByRole("link", { name: "Files", exact: true }).click();
      await page.getByText("No files yet").waitFor();
      await page.getByRole("link", { name: "Overview", exact: true }).click();
      expect(await notes.inputValue()).toBe("half a thought");
      await page.reload();
      expect(await notes.inputValue()).toBe("half a thought");

      // The session ends while the page is open: the sign-in page says so, and leads back.
      await context.clearCookies();
      await page.evaluate("dispatchEvent(new Event('online'))");
      await page.getByText("Your session has ended").waitFor();
      await page.getByRole("textbox", { name: "Key" }).fill(stack.admin);
      await page.getByRole("button", { name: "Sign in" }).click();
      expect(await notes.inputValue()).toBe("half a thought");
      expect(page.url()).toContain(`/runs/${id}`);
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByText("half a thought").waitFor();
      const kept = () =>
        page.evaluate<string[]>(
          "Object.keys(localStorage).filter((name) => name.startsWith('ledger.draft.'))",
        );
      expect(await kept()).toEqual([]);

      // Signing out leaves no draft behind.
      await page.getByRole("button", { name: "Edit the notes" }).click();
      await notes.fill("secret");
      expect(await kept()).toHaveLength(1);
      await page.getByRole("button", { name: /signing out/ }).click();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      expect(await kept()).toEqual([]);
    } finally {
      await context.close();
    }
  });

  const beat = (id: number, seq: number, tail: string) =>
    stack.api(`/api/tasks/${id}/heartbeat`, { attempt: 1, seq, tail });
  const numbered = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, n) => `line ${from + n}`).join("\n");

  it("follows a live console, lets one read above, and goes on when asked", async () => {
    const id = await register({ task_name: "talks" });
    await beat(id, 1, numbered(1, 60));
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}?tab=console`);
      const lines = page.getByRole("group", { name: "Lines of the console" });
      const last = (n: number) => lines.getByText(`line ${n}`, { exact: true });
      await last(60).waitFor();
      const fromEnd = () =>
        lines.evaluate((box) => Math.round(box.scrollHeight - box.scrollTop - box.clientHeight));
      expect(await fromEnd()).toBeLessThan(3);
      await beat(id, 2, numbered(41, 80));
      await last(80).waitFor();
      await expect.poll(fromEnd, soon).toBeLessThan(3);
      // What earlier reports held stays on the page.
      expect(await last(1).count()).toBe(1);

      await lines.evaluate((box) => box.scrollTo(0, 0));
      const follow = page.getByRole("button", { name: "Follow the console" });
      await follow.waitFor();
      await beat(id, 3, numbered(61, 100));
      await last(100).waitFor({ state: "attached" });
      expect(await lines.evaluate((box) => box.scrollTop)).toBe(0);
      await follow.click();
      await expect.poll(fromEnd, soon).toBeLessThan(3);
      expect(await follow.count()).toBe(0);
    });
  });

  it("unpacks the whole log in pages, and searches it", async () => {
    const id = await register({ task_name: "long log" });
    const evil = "<img src=x onerror=window.hit=1>";
    const text = Array.from({ length: 3500 }, (_, n) =>
      n % 1000 === 7 ? `Loss is NaN ${evil}` : `${n + 1} of 3500`,
    ).join("\n");
    await beat(id, 1, "the tail");
    await stack.api(`/api/tasks/${id}/finish`, {
      ...{ attempt: 1, status: "failed", failure_reason: "error" },
      error_message: "Traceback\nValueError: no such optimizer",
    });
    await upload(files(), stack.admin, id, new Uint8Array(gzipSync(text)), {
      ...{ filename: "console.log.gz", kind: "state", attempt: 1 },
    });
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}?tab=console`);
      await page.getByText("3,500 lines").waitFor();
      await page.locator(".failure").getByText("ValueError: no such optimizer").waitFor();
      await page.getByText("lines 3,001 to 3,500 of 3,500").waitFor();
      await page.getByRole("button", { name: "Earlier lines" }).click();
      await page.getByText("lines 2,001 to 3,000 of 3,500").waitFor();
      const search = page.getByRole("searchbox", { name: "Search the console" });
      await search.fill("loss is nan");
      await page.getByText("1 of 4", { exact: true }).waitFor();
      await page.locator("mark", { hasText: "Loss is NaN" }).waitFor();
      await page.getByText("lines 1 to 1,000 of 3,500").waitFor();
      await search.press("Enter");
      await page.getByText("2 of 4", { exact: true }).waitFor();
      await page.getByText("lines 1,001 to 2,000 of 3,500").waitFor();
      await page.getByRole("button", { name: "The one before" }).click();
      await page.getByRole("button", { name: "The one before" }).click();
      await page.getByText("4 of 4", { exact: true }).waitFor();
      await search.fill("nowhere at all");
      await page.getByText("nothing", { exact: true }).waitFor();
      expect(await page.evaluate("String(window.hit)")).toBe("undefined");
      // The log is no state of the trainer.
      await page.goto(`${pages.url}/runs/${id}?tab=files`);
      await page.getByRole("cell", { name: "Console", exact: true }).waitFor();
    });
  });

  it("stays within its window, whatever its name and its samples are", async () => {
    const id = await register({
      task_name: "名前とても長い".repeat(20) + "x".repeat(150),
      experiment_group: "g".repeat(180),
    });
    await beat(id, 1, "y".repeat(3000));
    for (let n = 0; n < 3; n++)
      await upload(files(), stack.admin, id, png(), {
        ...{ kind: "sample", filename: `s${n}.png`, step: n + 1, prompt: `p ${"w".repeat(200)}` },
      });
    await stack.api(`/api/tasks/${id}/finish`, {
      ...{ attempt: 1, status: "failed", error_message: "e".repeat(3000) },
    });
    for (const options of [desktop, phone])
      await pages.signedIn(
        async (page) => {
          for (const tab of ["", "?tab=samples", "?tab=console", "?tab=history"]) {
            await page.goto(`${pages.url}/runs/${id}${tab}`);
            await page.getByRole("button", { name: "More" }).waitFor();
            await settled(page);
            const sizes = await page.evaluate<Record<string, number>>(
              "({ high: document.documentElement.scrollHeight - innerHeight, wide: document.querySelector('main').scrollWidth - document.querySelector('main').clientWidth })",
            );
            expect([tab, sizes]).toEqual([tab, { high: 0, wide: 0 }]);
            const box = await page.getByRole("button", { name: "More" }).boundingBox();
            expect((box?.x ?? 9999) + (box?.width ?? 0)).toBeLessThanOrEqual(
              options.viewport?.width ?? 0,
            );
          }
        },
        { options },
      );
  });

  it("gives axe nothing to find, with its dialogs, notes and console", async () => {
    const id = await register({
      task_name: "looked at",
      notes: "# Title\n\n- a [link](https://example.com)\n\n> quote\n",
      config: { text: "[a]\nxformers = true\nrank = 8 # r\n", format: "toml" },
    });
    await beat(id, 1, numbered(1, 100));
    for (const options of [looks["light desktop"], looks["dark phone"]])
      await pages.signedIn(
        async (page) => {
          await page.goto(`${pages.url}/runs/${id}?tab=console`);
          await page.getByText("line 100").waitFor();
          await page.getByRole("searchbox", { name: "Search the console" }).fill("line 9");
          await page.locator("mark").first().waitFor();
          expect(await axe(page)).toEqual([]);
          await page.goto(`${pages.url}/runs/${id}?tab=config`);
          await page.locator(".hljs-literal").waitFor();
          expect(await axe(page)).toEqual([]);
          await page.goto(`${pages.url}/runs/${id}`);
          await page.getByText("quote").waitFor();
          await settled(page);
          expect(await axe(page)).toEqual([]);
          await page.getByRole("button", { name: "More" }).click();
          await page.getByRole("button", { name: "Rename…" }).click();
          expect(await axe(page)).toEqual([]);
        },
        { options },
      );
  });
});
