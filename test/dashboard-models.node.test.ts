// From a submission to what is live, by the buttons of the pages: three people, a real Chromium, the
// real stack.
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { usualScopes } from "../src/shared/scopes.ts";
import { axe, chromiumPath, looks, openPages, type Pages } from "./browser.ts";
import { type Stack, startStack } from "./stack.ts";
import { lora, png, upload } from "./uploads.ts";

const evil = '<img src=x onerror="window.hit=1">';

describe.skipIf(!chromiumPath())("the models' pages", () => {
  let stack: Stack;
  let pages: Pages;
  const keys: Record<"anna" | "bert" | "carla", string> = { anna: "", bert: "", carla: "" };
  const name = "anime-style";

  /** A run that has ended, with a sample and its final file; gives that file's id. */
  async function trained(key: string): Promise<number> {
    const ledger: Parameters<typeof upload>[0] = {
      call: (path, { key: bearer, json } = {}) => stack.api(path, json, bearer),
      request: (path, init) => fetch(path.startsWith("http") ? path : stack.url + path, init),
    };
    const { task_id: id } = await stack.api(
      "/api/tasks",
      { task_name: "a run", base_model_path: evil, datasets: [{ name: "10_aki", image_count: 9 }] },
      key,
    );
    await upload(ledger, key, id, png(), { kind: "sample", filename: "s.png", prompt: evil });
    const { id: weight } = await upload(ledger, key, id, lora());
    await stack.api(`/api/tasks/${id}/finish`, { status: "success", final_loss: 0.1 }, key);
    return weight;
  }
  const addVersion = async (key: string) =>
    stack.api(`/api/models/${name}/versions`, { weight_id: await trained(key) }, key);

  beforeAll(async () => {
    stack = await startStack();
    pages = await openPages(stack);
    const member = usualScopes.member;
    keys.anna = await stack.key("anna");
    keys.bert = await stack.key("bert", "member", [...member, "models:approve"]);
    keys.carla = await stack.key("carla", "member", [...member, "models:release"]);
    await stack.api("/api/models", { name, description: `${evil} d` }, keys.anna);
    const loosened = await fetch(`${stack.url}/api/models/${name}`, {
      method: "PATCH",
      headers: { Authorization: `Bearer ${keys.anna}`, "Content-Type": "application/json" },
      body: JSON.stringify({ checks: { task_success: false } }),
    });
    expect(loosened.status).toBe(200);
    await addVersion(keys.anna);
    await addVersion(keys.anna);
    await addVersion(keys.bert);
  }, 120_000);
  afterAll(async () => {
    await pages?.close();
    await stack?.stop();
  });

  const as = (who: keyof typeof keys, work: (page: Page) => Promise<void>) =>
    pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/models/${name}`);
        await page.getByRole("heading", { name: "Version 3" }).waitFor();
        await work(page);
      },
      { key: keys[who] },
    );
  const version = (page: Page, n: number) =>
    page.getByRole("region", { name: `Version ${n}`, exact: true });
  const dialog = (page: Page) => page.getByRole("dialog");
  /** Takes a step of a version by its button, and answers what it asks. */
  async function step(page: Page, n: number, label: string, reason?: string) {
    await version(page, n).getByRole("button", { name: label }).click();
    if (reason) await dialog(page).getByRole("textbox", { name: /Why/ }).fill(reason);
    await dialog(page).getByRole("button", { name: label }).click();
  }
  const closed = (page: Page) => dialog(page).waitFor({ state: "hidden" });
  const history = async (page: Page) =>
    (
      await page
        .getByRole("region", { name: "History of the aliases" })
        .getByRole("row")
        .allInnerTexts()
    )
      .slice(1)
      .map((row) => row.split("\t").map((cell) => cell.trim()));

  it("are submitted by one, approved or rejected by another, and never by oneself", async () => {
    await as("anna", async (page) => {
      for (const n of [1, 2]) {
        await step(page, n, "Submit for review");
        await version(page, n).getByText("In review").waitFor();
        expect(await version(page, n).getByRole("button", { name: "Approve" }).count()).toBe(0);
      }
      expect(
        await version(page, 3)
          .getByRole("button", { name: /Submit/ })
          .count(),
      ).toBe(1);
      await step(page, 2, "Withdraw");
      await version(page, 2).getByText("Draft").waitFor();
      await step(page, 2, "Submit for review");
      await version(page, 2).getByText("In review").waitFor();
    });
    await pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/models`);
        const waits = page.getByRole("region", { name: "Waits for a decision" });
        await waits.getByText("anna").first().waitFor();
        await waits.getByRole("link", { name: `${name} · 1` }).click();
        await version(page, 1).getByText("Provenance and decision").click();
        await version(page, 1).getByText("10_aki").waitFor();
        await version(page, 1).getByText("None yet.").waitFor();
        await version(page, 1).getByText("anna: cannot decide on this version.").waitFor();
        await version(page, 1).getByText("loosened task_success").waitFor();
        await version(page, 1).getByRole("link", { name: "1 samples of its run" }).waitFor();

        await step(page, 1, "Approve", `clean ${evil}`);
        await version(page, 1).getByText("Approved").first().waitFor();
        await version(page, 1).getByText(`clean ${evil}`).waitFor();
        await version(page, 1).getByText("Evidence").click();
        await version(page, 1).getByText('"reviewer": "bert"').waitFor();

        // Rejecting takes a reason.
        await version(page, 2).getByRole("button", { name: "Reject" }).click();
        const reject = dialog(page).getByRole("button", { name: "Reject" });
        expect(await reject.isDisabled()).toBe(true);
        await dialog(page).getByRole("textbox", { name: "Why?" }).fill("worse hands");
        await reject.click();
        await version(page, 2).getByText("Rejected").first().waitFor();

        // One's own submission: the page says why not, and nothing happened.
        await step(page, 3, "Submit for review");
        await version(page, 3).getByText("In review").waitFor();
        await version(page, 3).getByText("Somebody else decides: you had a part in it.").waitFor();
        for (const label of ["Approve", "Reject"])
          expect(await version(page, 3).getByRole("button", { name: label }).count()).toBe(0);
        expect(await page.evaluate("String(window.hit)")).toBe("undefined");
        expect(await page.locator("img[src=x]").count()).toBe(0);
      },
      { key: keys.bert },
    );
    const decided = await stack.api(`/api/models/${name}/versions/2`);
    expect(decided).toMatchObject({
      state: "rejected",
      review: { decision: "rejected", reviewer: "bert", reason: "worse hands" },
    });
  });

  it("go live, are moved with who, when and why, back again, and out of use", async () => {
    await stack.api(`/api/models/${name}/versions/3/approve`, {}, stack.admin);
    const move = (number: number) =>
      fetch(`${stack.url}/api/models/${name}/aliases/production`, {
        method: "PUT",
        headers: { Authorization: `Bearer ${stack.admin}`, "Content-Type": "application/json" },
        body: JSON.stringify({ version: number }),
      }).then((response) => expect(response.status).toBe(200));
    await as("carla", async (page) => {
      const aliases = page.getByRole("region", { name: "Aliases", exact: true });
      const production = aliases.getByRole("row", { name: /production/ });
      await step(page, 1, "Release", "the first");
      await version(page, 1).getByText("Released").first().waitFor();
      await production.getByText("carla").waitFor();
      expect(await version(page, 2).getByRole("button").count()).toBe(0);

      await aliases.getByRole("button", { name: "Move production", exact: true }).click();
      await dialog(page).getByText("production moves from version 1 to 3").waitFor();
      await dialog(page).getByRole("textbox", { name: /Why/ }).fill("finer lines");
      await dialog(page).getByRole("button", { name: "Move" }).click();
      await version(page, 3).getByText("Released").first().waitFor();
      await closed(page);

      // Somebody else was first: the page says so, shows where it is now, and moved nothing.
      await aliases.getByRole("button", { name: "Roll back production" }).click();
      await move(1);
      await dialog(page).getByRole("button", { name: "Roll back" }).click();
      await dialog(page)
        .getByRole("alert")
        .getByText(/Someone else changed this first/)
        .waitFor();
      await dialog(page).getByRole("button", { name: "Back", exact: true }).click();
      await closed(page);
      await production.getByText("admin").waitFor();
      await aliases.getByRole("button", { name: "Roll back production" }).click();
      await dialog(page).getByRole("textbox", { name: /Why/ }).fill("after all");
      await dialog(page).getByRole("button", { name: "Roll back" }).click();
      await closed(page);
      await production.getByText("carla").waitFor();
      await expect
        .poll(() => history(page))
        .toEqual([
          ["production", "1 → 3rolled back", "carla", "just now", "after all"],
          ["production", "3 → 1", "admin", "just now", ""],
          ["production", "1 → 3", "carla", "just now", "finer lines"],
          ["production", "– → 1", "carla", "just now", "the first"],
        ]);
    });
    await as("anna", async (page) => {
      // Its maker moves what is not protected, and no more.
      const aliases = page.getByRole("region", { name: "Aliases", exact: true });
      await aliases.getByText("production").waitFor();
      expect(await aliases.getByRole("button", { name: /production/ }).count()).toBe(0);
      await aliases.getByRole("button", { name: "New alias" }).click();
      await dialog(page).getByRole("textbox", { name: "Alias" }).fill("trial");
      await dialog(page).getByRole("combobox", { name: "To version" }).selectOption("1");
      await dialog(page).getByRole("button", { name: "Make the alias" }).click();
      await closed(page);
      await aliases.getByRole("button", { name: "Remove trial" }).click();
      await dialog(page).getByRole("button", { name: "Remove" }).click();
      await closed(page);
      await expect
        .poll(async () => (await history(page)).slice(0, 2))
        .toEqual([
          ["trial", "1 → removed", "anna", "just now", ""],
          ["trial", "– → 1", "anna", "just now", ""],
        ]);
    });
    await as("carla", async (page) => {
      await step(page, 3, "Retire", "licence");
      await version(page, 3).getByText("Retired").first().waitFor();
      await page.getByText("No alias yet.").waitFor();
      expect((await history(page))[0]?.slice(0, 3)).toEqual(["production", "3 → removed", "carla"]);
    });
    expect((await stack.api(`/api/models/${name}`)).aliases).toEqual({});
  });

  it("are all there, however many, a page at a time", async () => {
    for (let n = 0; n < 60; n++) await stack.api("/api/models", { name: `many-${n}` }, keys.anna);
    const { items } = await stack.api("/api/models?limit=200");
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/models`);
      const cards = page.locator(".model-card");
      await expect.poll(() => cards.count()).toBe(50);
      await page.getByRole("button", { name: "Show more" }).click();
      await expect.poll(() => cards.count()).toBe(items.length);
      expect(await page.getByRole("button", { name: "Show more" }).count()).toBe(0);
    });
  });

  it("give axe nothing to find, in both themes and on a phone", async () => {
    await stack.api(`/api/models/${name}/versions/1/release`, {}, keys.carla);
    for (const options of Object.values(looks))
      await pages.signedIn(
        async (page) => {
          await page.goto(`${pages.url}/models/${name}`);
          await version(page, 1).getByText("Provenance and decision").click();
          await version(page, 1).getByText("9 images").waitFor();
          expect(await axe(page)).toEqual([]);
          await page.getByRole("button", { name: "Move production", exact: true }).click();
          expect(await axe(page)).toEqual([]);
          await page.keyboard.press("Escape");
          await closed(page);
          await version(page, 1).getByRole("button", { name: "Retire" }).click();
          expect(await axe(page)).toEqual([]);
        },
        { options },
      );
  });
});
