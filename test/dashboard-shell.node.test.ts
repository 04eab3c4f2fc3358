// The frame of the pages in a real Chromium over the real stack: alerts and their bell, two tabs of one
// browser, the end of a session, addresses that nothing has, titles, and how the pages are installed.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  axe,
  chromiumPath,
  desktop,
  leadTo,
  looks,
  openPages,
  type Pages,
  settled,
  signIn,
} from "./browser.ts";
import { type Stack, startStack } from "./stack.ts";

/** A machine may have much else to do. */
const soon = { timeout: 20_000 };

describe.skipIf(!chromiumPath())("the frame of the pages", () => {
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

  /** A run that has just failed, and so an alert. */
  async function fail(task_name: string, key = stack.admin) {
    const { task_id } = await stack.api("/api/tasks", { task_name }, key);
    const end = { status: "failed", failure_reason: "oom", error_message: "too big" };
    await stack.api(`/api/tasks/${task_id}/finish`, end, key);
    return Number(task_id);
  }
  const bell = (page: Page) => page.getByRole("button", { name: /^Alerts/ });
  /** Makes the page look for changes now. */
  const look = (page: Page) => page.evaluate("dispatchEvent(new Event('online'))");

  it("count unread alerts of one's own, and lists them until they are read, in each browser", async () => {
    const key = await stack.key("carl");
    const id = await fail("mine to see", key);
    await fail("somebody else's");
    await pages.signedIn(
      async (page) => {
        await expect.poll(() => bell(page).innerText(), soon).toMatch(/1/);
        const asked: string[] = [];
        page.on("request", (request) => asked.push(new URL(request.url()).pathname));
        await bell(page).click();
        await page
          .locator(".bell-list")
          .getByRole("link", { name: /mine to see/ })
          .waitFor();
        expect(
          await page
            .locator(".bell-list")
            .getByRole("link", { name: /somebody else's/ })
            .count(),
        ).toBe(0);
        await expect.poll(() => bell(page).innerText(), soon).not.toMatch(/\d/);
        expect(await stack.api("/api/me/preferences/alerts", undefined, key)).toMatchObject({
          value: { seen: expect.any(Number) },
        });
        await page.locator(".bell-list").getByRole("button", { name: "All", exact: true }).click();
        await page
          .locator(".bell-list")
          .getByRole("link", { name: /somebody else's/ })
          .waitFor();
        await page
          .locator(".bell-list")
          .getByRole("link", { name: /mine to see/ })
          .click();
        await page.getByRole("heading", { name: "mine to see" }).waitFor();
        expect(page.url()).toContain(`/runs/${id}`);
        // The list closes, and nothing but the page's one poll looks for more.
        await page.getByText("All alerts and their messages").waitFor({ state: "hidden" });
        asked.length = 0;
        await look(page);
        await settled(page);
        expect(asked.filter((path) => path.includes("events"))).toEqual([]);
      },
      { key },
    );
    // Another browser of the same person knows what was read, and what is new since then.
    await pages.signedIn(
      async (page) => {
        await settled(page);
        expect(await bell(page).innerText()).not.toMatch(/\d/);
        await fail("the next one", key);
        await look(page);
        await expect.poll(() => bell(page).innerText(), soon).toMatch(/1/);
      },
      { key },
    );
  });

  it("show notices of the browser once they are switched on, each alert once", async () => {
    const key = await stack.key("dora");
    const [context, page] = await pages.open();
    try {
      // The browser of these tests has no notices: what it would be asked to show is kept.
      await context.addInitScript(`
        window.shown = [];
        window.Notification = class { constructor(title, more) { window.shown.push([title, more.body]); } close() {} };
        Notification.permission = "granted";
        Notification.requestPermission = async () => "granted";`);
      await signIn(page, pages.url, key);
      await fail("before", key);
      await look(page);
      const toggle = page.getByRole("checkbox", { name: /Notices of this browser/ });
      await bell(page).click();
      expect(await toggle.isChecked()).toBe(false);
      await page
        .locator(".bell-list")
        .getByRole("link", { name: /before/ })
        .waitFor();
      await toggle.check();
      await page.keyboard.press("Escape");
      const shown = () => page.evaluate<[string, string][]>("window.shown");
      expect(await shown()).toEqual([]);
      await page.clock.install();
      await fail("after", key);
      await look(page);
      await expect
        .poll(async () => {
          await page.clock.runFor(5_000);
          return shown();
        }, soon)
        .toEqual([["Failed: after", expect.stringContaining("too big")]]);
      await look(page);
      await settled(page).catch(() => {});
      expect(await shown()).toHaveLength(1);
    } finally {
      await context.close();
    }
  });

  it("agree in all tabs of a browser about the theme, the language and who is signed in", async () => {
    const [context, first] = await pages.open();
    try {
      await signIn(first, pages.url, stack.admin);
      const second = await context.newPage();
      await second.goto(`${pages.url}/board`);
      await second.getByRole("heading", { name: "Board" }).waitFor();
      const menu = (page: Page) => page.getByRole("button", { name: /signing out/ }).click();
      await menu(first);
      await first.getByRole("button", { name: "Dark", exact: true }).click();
      await expect
        .poll(() => second.evaluate("document.documentElement.dataset.theme"), soon)
        .toBe("dark");
      await menu(first);
      await first.getByRole("button", { name: "As the system" }).click();
      await expect
        .poll(() => second.evaluate("String(document.documentElement.dataset.theme)"), soon)
        .toBe("undefined");
      await menu(first);
      await first.getByRole("button", { name: "简体中文" }).click();
      await second
        .getByRole("heading", { name: "总览" })
        .or(second.locator("html[lang=zh-Hans]"))
        .first()
        .waitFor();
      await first.getByRole("button", { name: /退出/ }).click();
      await first.getByRole("button", { name: "English" }).click();
      await second.locator("html[lang=en]").waitFor();

      await menu(first);
      await first.getByRole("button", { name: "Sign out" }).click();
      await second.getByText("You signed out in another tab.").waitFor();
      await first.getByRole("textbox", { name: "Key" }).fill(stack.admin);
      await first.getByRole("button", { name: "Sign in" }).click();
      // The other tab is where it was, without a key of its own.
      await second.getByRole("heading", { name: "Board" }).waitFor();
    } finally {
      await context.close();
    }
  });

  it("give whoever opens an address that nothing has a page, and programs JSON", async () => {
    const html = { Accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
    for (const [path, headers, type] of [
      ["/nowhere", html, "text/html"],
      ["/nowhere", {}, "application/problem+json"],
      ["/api/nowhere", html, "application/problem+json"],
    ] as const) {
      const bearer = { Authorization: `Bearer ${stack.admin}` };
      const response = await fetch(`${stack.url}${path}`, { headers: { ...headers, ...bearer } });
      expect([path, response.status]).toEqual([path, 404]);
      expect(response.headers.get("Content-Type")).toContain(type);
      if (type === "text/html")
        expect(response.headers.get("Content-Security-Policy")).toContain("default-src 'none'");
      await response.body?.cancel();
    }
    await pages.signedIn(async (page) => {
      for (const [path, text] of [
        ["/nowhere", "There is no such page"],
        ["/settings/nowhere", "There is no such page"],
        ["/board/nowhere", "There is no such page"],
        ["/runs/abc", "There is no run “abc”"],
        ["/runs/0x1", "There is no run “0x1”"],
        ["/runs/99999999", "There is no run “99999999”"],
      ] as const) {
        await page.goto(pages.url + path);
        await page.getByRole("heading", { name: text, level: 2 }).waitFor();
        await settled(page);
        expect([path, await axe(page)]).toEqual([path, []]);
      }
      await page.getByRole("link", { name: "To the runs" }).click();
      await page.getByRole("heading", { name: "Runs", exact: true }).waitFor({ state: "attached" });
    });
  });

  it("title each page by what it shows", async () => {
    const { task_id } = await stack.api("/api/tasks", { task_name: "titled" });
    await pages.signedIn(async (page) => {
      for (const [path, title] of [
        ["/runs", "Runs · LoRA Ledger"],
        [`/runs/${task_id}`, "titled · Runs · LoRA Ledger"],
        ["/runs", "Runs · LoRA Ledger"],
        ["/board", "Now · Board · LoRA Ledger"],
        ["/board/queue", "Queue · Board · LoRA Ledger"],
        ["/settings/keys", "Keys · Settings · LoRA Ledger"],
        ["/settings/users", "Users · Settings · LoRA Ledger"],
        ["/models", "Models · LoRA Ledger"],
        ["/leaderboard", "Leaderboard · LoRA Ledger"],
      ] as const) {
        await leadTo(page, path);
        await expect.poll(() => page.title(), soon).toBe(title);
      }
    });
  });

  it("can be installed on a phone, and show a frame before their scripts are there", async () => {
    const answer = await fetch(`${stack.url}/manifest.webmanifest`);
    const manifest = (await answer.json()) as { icons: Record<"src" | "sizes" | "type", string>[] };
    expect(manifest).toMatchObject({ start_url: "/runs", display: "standalone" });
    for (const { src, sizes, type } of manifest.icons) {
      const response = await fetch(stack.url + src);
      expect([src, response.status, response.headers.get("Content-Type")]).toEqual([
        src,
        200,
        type,
      ]);
      const bytes = new DataView(await response.arrayBuffer());
      if (sizes !== "any") expect(`${bytes.getUint32(16)}x${bytes.getUint32(20)}`).toBe(sizes);
    }
    const [context, page, faults] = await pages.open(looks["dark phone"]);
    try {
      await page.route("**/assets/*.js", (route) => route.abort());
      await page.goto(`${pages.url}/runs`);
      const link = await page.locator("link[rel=manifest]").getAttribute("href");
      expect(link).toBe("/manifest.webmanifest");
      expect(await page.locator(".boot").isVisible()).toBe(true);
      await page.unroute("**/assets/*.js");
      await page.goto(`${pages.url}/runs`);
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      expect(await page.locator(".boot").isVisible()).toBe(false);
      expect(faults).toEqual([]);
      // The browser reads the manifest as the policy lets it, and has nothing against it.
      const session = await context.newCDPSession(page);
      const { errors } = await session.send("Page.getAppManifest");
      expect(errors).toEqual([]);
    } finally {
      await context.close();
    }
  });

  it("show the API in the theme of the pages, with a way back", async () => {
    const [context, page] = await pages.open({ ...desktop, colorScheme: "dark" });
    try {
      await page.goto(`${pages.url}/docs/`);
      await page.locator("html.dark-mode").waitFor();
      const shade = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
      expect(shade).not.toBe("rgba(0, 0, 0, 0)");
      await page.getByRole("link", { name: "LoRA Ledger" }).click();
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
    } finally {
      await context.close();
    }
  });

  it("give axe nothing to find with the bell open, in light, dark and on a phone", async () => {
    await fail("looked at");
    for (const options of [
      looks["light desktop"],
      looks["dark desktop, Chinese fonts"],
      looks["dark phone"],
    ])
      await pages.signedIn(
        async (page) => {
          await settled(page);
          await bell(page).click();
          await page
            .getByRole("link", { name: /looked at/ })
            .first()
            .waitFor();
          await settled(page);
          expect(await axe(page)).toEqual([]);
        },
        { options },
      );
  });

  it("lead from the address that MLflow's client prints to the run", async () => {
    const { task_id } = await stack.api("/api/tasks", { task_name: "logged by MLflow" });
    await pages.signedIn(async (page) => {
      const id = String(task_id).padStart(32, "0");
      // Another document first: a change of the fragment alone loads nothing.
      await page.goto("about:blank");
      await page.goto(`${pages.url}/mlflow/#/experiments/0/runs/${id}`);
      await page.getByRole("heading", { name: "logged by MLflow" }).waitFor();
      expect(new URL(page.url()).pathname).toBe(`/runs/${task_id}`);
    });
  });
});
