// Keys, users, webhooks and mirrors by the buttons of their pages, in a real Chromium over the real stack, with
// real receivers of messages.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runScheduled } from "../scripts/local/worker.ts";
import { axe, chromiumPath, looks, openPages, type Pages } from "./browser.ts";
import { answering, startReceiver } from "./receiver.ts";
import { type Stack, startStack } from "./stack.ts";
import { fakeMlflow } from "./trackers/fake-mlflow.ts";

describe.skipIf(!chromiumPath())("settings", () => {
  let stack: Stack;
  let pages: Pages;
  beforeAll(async () => {
    stack = await startStack({ ALLOW_INSIDE_WEBHOOKS: "true" });
    pages = await openPages(stack);
  }, 120_000);
  afterAll(async () => {
    await pages?.close();
    await stack?.stop();
  });

  it("makes a key that is shown once, and revokes it", async () => {
    await pages.signedIn(async (page) => {
      await page.getByRole("link", { name: "Settings" }).click();
      await page.getByRole("button", { name: "New key" }).click();
      await page.getByRole("textbox", { name: "What is it for?" }).fill("a reader");
      await page.getByRole("combobox", { name: "What may it do?" }).selectOption("read");
      await page.getByRole("button", { name: "Make the key" }).click();
      const key = (await page.getByTestId("new-key").textContent()) ?? "";
      const asks = () =>
        fetch(`${stack.url}/api/me`, { headers: { Authorization: `Bearer ${key}` } });
      expect(await (await asks()).json()).toMatchObject({
        scopes: ["tasks:read", "weights:read", "models:read"],
      });
      await page.getByRole("button", { name: "Done" }).click();
      expect(await page.content()).not.toContain(key);
      await page.getByRole("button", { name: "Revoke a reader" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
      await page.getByText("Revoked").first().waitFor();
      expect((await asks()).status).toBe(401);
    });
  });

  it("show who made a key, and revoke with it what it made", async () => {
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/settings/keys`);
      await page.getByRole("button", { name: "New key" }).click();
      await page.getByRole("textbox", { name: "What is it for?" }).fill("a maker");
      await page.getByRole("combobox", { name: "What may it do?" }).selectOption("own");
      await page.getByRole("button", { name: "Make the key" }).click();
      const key = (await page.getByTestId("new-key").textContent()) ?? "";
      await page.getByRole("button", { name: "Done" }).click();
      const child = await stack.api("/api/keys", { name: "its child" }, key);
      await page.reload();
      await page
        .getByRole("row", { name: /^its child/ })
        .getByText("· a maker")
        .waitFor();
      await page.getByRole("button", { name: "Revoke a maker" }).click();
      await page
        .getByText("Keys that this key made, which expire with it, and their boxes: 1.")
        .waitFor();
      await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
      await page.getByRole("row", { name: /^its child/ }).waitFor({ state: "detached" });
      const asks = await fetch(`${stack.url}/api/me`, {
        headers: { Authorization: `Bearer ${child.key}` },
      });
      expect(asks.status).toBe(401);
    });
  });

  it("make a user with a first key that works, and change the role", async () => {
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/settings/users`);
      await page.getByRole("button", { name: "New user" }).click();
      await page.getByRole("textbox", { name: "Name" }).fill("nora");
      await page.getByRole("combobox", { name: "Role", exact: true }).selectOption("viewer");
      await page.getByRole("button", { name: "Make the user" }).click();
      const key = (await page.getByTestId("new-key").textContent()) ?? "";
      expect(await stack.api("/api/me", undefined, key)).toMatchObject({
        name: "nora",
        role: "viewer",
      });
      const link = (await page.getByTestId("new-link").textContent()) ?? "";
      expect(await axe(page)).toEqual([]);
      await page.getByRole("button", { name: "Done" }).click();
      expect(await page.content()).not.toContain(key);
      const [visit, guest] = await pages.open();
      await guest.goto(link);
      await guest.getByRole("link", { name: "Settings" }).click();
      await guest.getByRole("heading", { name: "Keys" }).waitFor();
      await visit.close();
      // Once more, for somebody whose session is over.
      await page.getByRole("button", { name: "Invite nora" }).click();
      const another = (await page.getByTestId("new-link").textContent()) ?? "";
      expect(another).not.toBe(link);
      await page.getByRole("button", { name: "Done" }).click();
      // What is refused is said where it was asked.
      await page.getByRole("button", { name: "New user" }).click();
      await page.getByRole("textbox", { name: "Name" }).fill("nora");
      await page.getByRole("button", { name: "Make the user" }).click();
      await page.getByRole("dialog").getByRole("alert").getByText("nora already").waitFor();
      await page.getByRole("button", { name: "Back" }).click();
      await page.getByRole("combobox", { name: "Role of nora" }).selectOption("member");
      await page.getByText("Changed").waitFor();
      expect(await stack.api("/api/me", undefined, key)).toMatchObject({ role: "member" });
    });
  });

  it("show the lines of each trainer, wait for the first run and lead to it", async () => {
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/settings/first-run`);
      await page.getByRole("button", { name: "Make a box key" }).click();
      await page.getByRole("combobox", { name: "Trainer" }).selectOption("ai-toolkit");
      // Until the key is made, the lines hold "…" in its place.
      const shown = page.getByText(/LEDGER_KEY=[\w.-]{20,}/);
      const lines = (await shown.textContent()) ?? "";
      expect(lines).toContain("-- python run.py config/my_lora.yaml");
      const key = /LEDGER_KEY=(\S+)/.exec(lines)?.[1] ?? "";
      await page.getByText("This page waits for the run").waitFor();
      await stack.api("/api/tasks", { task_name: "the first" }, key);
      await page.getByRole("link", { name: "the first" }).click();
      await page.getByRole("heading", { name: "the first" }).waitFor();
    });
  });

  it("send a test to a webhook's receiver, and say what became of it", async () => {
    const takes = await startReceiver();
    const refuses = await startReceiver(answering(403, "no such channel"));
    try {
      await pages.signedIn(async (page) => {
        await page.goto(`${pages.url}/settings/webhooks`);
        const make = async (name: string, url: string) => {
          await page.getByRole("button", { name: "New webhook" }).click();
          await page.getByRole("textbox", { name: "Name" }).fill(name);
          await page.getByRole("textbox", { name: "Address" }).fill(url);
          await page.getByRole("button", { name: "Make the webhook" }).click();
        };
        await make("takes", `${takes.url}/hook`);
        await page.getByRole("row", { name: /^takes/ }).waitFor();
        await make("refuses", `${refuses.url}/hook`);
        await page.getByRole("row", { name: /^refuses/ }).waitFor();
        await make("odd", "ftp://example.com/");
        await page.getByRole("dialog").getByRole("alert").getByText("url:").waitFor();
        await page.getByRole("button", { name: "Back" }).click();

        await page.getByRole("button", { name: "Test takes" }).click();
        await page.getByText("The receiver accepted the message").waitFor();
        expect(takes.got.map(({ json }) => json.type)).toEqual(["test"]);
        expect(takes.got[0]?.headers["webhook-signature"]).toMatch(/^v1,/);
        await page.getByRole("button", { name: "Test refuses" }).click();
        await page.getByText(/Not delivered: .*403/).waitFor();
        expect(refuses.got).toHaveLength(1);

        await refuses.close();
        await page.getByRole("button", { name: "Test refuses" }).click();
        await page.getByText(/Not delivered: (?!.*403)/).waitFor();
        await page.getByRole("button", { name: "Delete refuses" }).click();
        await page.getByRole("row", { name: /^refuses/ }).waitFor({ state: "detached" });
        expect(await page.getByRole("row", { name: /^takes/ }).count()).toBe(1);
      });
      for (const options of Object.values(looks))
        await pages.signedIn(
          async (page) => {
            await page.goto(`${pages.url}/settings/webhooks`);
            await page.getByRole("row", { name: /^takes/ }).waitFor();
            expect(await axe(page)).toEqual([]);
            await page.getByRole("button", { name: "New webhook" }).click();
            expect(await axe(page)).toEqual([]);
          },
          { options },
        );
    } finally {
      await takes.close();
    }
  });

  it("make, test, change and delete a mirror, and show how far its runs are", async () => {
    const there = fakeMlflow();
    const server = await startReceiver((response, { url, headers, body }) => {
      const { status, body: said } = there.answer(url, headers.authorization ?? null, body);
      response.writeHead(status).end(said);
    });
    try {
      await pages.signedIn(async (page) => {
        await page.goto(`${pages.url}/settings/mirrors`);
        await page.getByText("No mirrors yet").waitFor();
        await page.getByRole("button", { name: "New mirror" }).click();
        await page.getByRole("textbox", { name: "Name" }).fill("lab");
        const address = page.getByRole("textbox", { name: "Address of the tracking server" });
        await address.fill("ftp://example.com/");
        await page.getByLabel("Token, or user:password (optional)").fill("not-to-be-shown");
        await page.getByRole("textbox", { name: /^Groups/ }).fill("faces, hands");
        await page.getByRole("button", { name: "Make the mirror" }).click();
        await page.getByRole("dialog").getByRole("alert").getByText("url:").waitFor();
        await address.fill(server.url);
        await page.getByRole("button", { name: "Make the mirror" }).click();
        await page.getByRole("row", { name: /^lab .*faces, hands/ }).waitFor();
        await page.getByText("Nothing is written yet").waitFor();
        await page.getByRole("button", { name: "Test lab" }).click();
        await page.getByText("The server answers as MLflow does").waitFor();
        expect(there.calls[0]?.authorization).toBe("Bearer not-to-be-shown");

        for (const [task_name, experiment_group] of [
          ["taken", "faces"],
          ["not taken", "hands"],
        ]) {
          const { task_id } = await stack.api("/api/tasks", { task_name, experiment_group });
          const logs = [{ step: 1, metrics: { loss: 1 } }];
          await stack.api(`/api/tasks/${task_id}/heartbeat`, { attempt: 1, seq: 1, logs });
        }
        there.instead = ({ body }) =>
          body.experiment_name === "hands"
            ? { status: 400, body: '{"error_code":"INVALID_PARAMETER_VALUE","message":"no hands"}' }
            : null;
        await runScheduled(stack.url);
        await page.reload();
        await page.getByRole("row", { name: /^taken being written 1 of 1 .*run0/ }).waitFor();
        await page.getByRole("row", { name: /^not taken refused 0 of 1 .*no hands/ }).waitFor();
        expect(await page.content()).not.toContain("not-to-be-shown");
        await page.getByRole("button", { name: "Retry not taken" }).click();
        await page.getByRole("row", { name: /^not taken being written/ }).waitFor();

        await page.getByRole("button", { name: "Change lab" }).click();
        await page.getByRole("textbox", { name: "Name" }).fill("lab two");
        await page.getByRole("textbox", { name: /^Groups/ }).fill("");
        await page.getByRole("checkbox", { name: "Active" }).uncheck();
        await page.getByRole("button", { name: "Save" }).click();
        await page.getByRole("row", { name: /^lab two .*everything switched off/ }).waitFor();
        const { items } = await stack.api("/api/mirrors");
        expect(items).toMatchObject([
          { name: "lab two", groups: null, active: false, has_token: true },
        ]);
      });
      for (const options of Object.values(looks))
        await pages.signedIn(
          async (page) => {
            await page.goto(`${pages.url}/settings/mirrors`);
            await page.getByRole("row", { name: /^taken/ }).waitFor();
            expect(await axe(page)).toEqual([]);
            await page.getByRole("button", { name: "New mirror" }).click();
            expect(await axe(page)).toEqual([]);
          },
          { options },
        );
      await pages.signedIn(async (page) => {
        await page.goto(`${pages.url}/settings/mirrors`);
        await page.getByRole("button", { name: "Delete lab two" }).click();
        await page.getByText("No mirrors yet").waitFor();
      });
    } finally {
      await server.close();
    }
  });
});
