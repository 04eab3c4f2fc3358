// The parts of the board in a real Chromium: the queue, boxes, money, storage and alerts, over the real
// stack, with a real box that the page enrols.
import { mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runScheduled } from "../scripts/local/worker.ts";
import {
  axe,
  chromiumPath,
  desktop,
  type Look,
  leadTo,
  looks,
  noBrowser,
  openPages,
  type Pages,
  settled,
} from "./browser.ts";
import { eventually, runProcess, type Stack, startStack, trainer, trainerFolder } from "./stack.ts";

if (!chromiumPath()) console.warn(noBrowser);

describe.skipIf(!chromiumPath())("the board in a browser", () => {
  let stack: Stack;
  let pages: Pages;
  beforeAll(async () => {
    // Without a queue the scheduled job delivers alone, and gives up after a try.
    const vars = { ALLOW_INSIDE_WEBHOOKS: "true", ALERT_RETRY_SEC: "0.1", ALERT_TRIES: "1" };
    stack = await startStack(vars, { queues: {} });
    pages = await openPages(stack);
  }, 120_000);
  afterAll(async () => {
    await pages?.close();
    await stack?.stop();
  });

  const member = "anna";

  it("shows what waits and why, takes a new order, and takes one out", async () => {
    const key = await stack.key(member);
    // The third lasts long enough to be seen at work.
    const files = [1, 1, 7].map(
      (max_train_epochs, n) =>
        trainerFolder(stack.home, {
          output_name: ["first", "second", "third"][n] ?? "",
          max_train_epochs,
          sleep: 0.05,
        }).config,
    );
    const queued = await stack.client(["queue", ...files, "--labels", "tiny", "--group", "night"], {
      key,
    }).ended;
    expect(queued.code, queued.out).toBe(0);
    await pages.signedIn(
      async (page) => {
        await page.getByRole("link", { name: "Board", exact: true }).click();
        await page.getByRole("link", { name: "Queue", exact: true }).click();
        const waiting = page.getByRole("region", { name: "Waiting runs" }).getByRole("row");
        const names = async () =>
          (await waiting.getByRole("link").allTextContents()).filter((text) => text !== "");
        await expect.poll(names).toEqual(["first", "second", "third"]);
        await page.getByText("no enrolled box offers tiny").first().waitFor();
        await page.getByRole("button", { name: "Change third" }).click();
        const dialog = page.getByRole("dialog");
        await dialog.getByRole("spinbutton", { name: "Priority" }).fill("7");
        await dialog.getByRole("button", { name: "Save" }).click();
        await expect.poll(names).toEqual(["third", "first", "second"]);
        await page.getByRole("button", { name: "Cancel first" }).click();
        await expect.poll(names).toEqual(["third", "second"]);
        const { items } = await stack.api("/api/queue");
        expect(items).toMatchObject([
          { task_name: "third", priority: 7, labels: ["tiny"], user: member },
          { task_name: "second", priority: 0 },
        ]);
        const group = page.getByRole("region", { name: "Sweeps and groups" });
        await group.getByText("1 of 3 ended").waitFor();
        await group.getByRole("img", { name: "Cancelled: 1, Waiting: 2" }).waitFor();
        // Someone else's registration turns up by itself.
        const waits = { task_name: "after it", queue: { depends_on: [items[1].task_id] } };
        await stack.api("/api/tasks", waits);
        await waiting.getByText(`after run ${items[1].task_id} (Waiting)`).waitFor();
        await expect.poll(() => page.getByRole("button", { name: /^Cancel/ }).count()).toBe(2);
        await page.getByRole("button", { name: "Mine" }).click();
        await expect.poll(names).toEqual(["third", "second"]);
      },
      { key },
    );
  }, 120_000);

  it("enrols a box with a line shown once, shows it at work, and revokes it", async () => {
    const key = await stack.key(member);
    await pages.signedIn(
      async (page) => {
        await page.goto(`${pages.url}/board/boxes`);
        await page.getByText("No boxes are enrolled").waitFor();
        await page.getByRole("button", { name: "Enrol a box" }).click();
        const dialog = page.getByRole("dialog");
        await dialog.getByRole("textbox", { name: /^Name/ }).fill("vast 17");
        await dialog
          .getByRole("textbox", { name: /^Command;/ })
          .fill(`python3 ${trainer} --config_file {config}`);
        await dialog.getByRole("textbox", { name: /^Labels/ }).fill("tiny");
        await dialog.getByRole("spinbutton", { name: /^Price an hour/ }).fill("3600");
        await dialog.getByRole("button", { name: "Make the line" }).click();
        const line = (await page.getByTestId("new-key").textContent()) ?? "";
        await dialog.getByRole("button", { name: "Done" }).click();
        const [token = ""] = line.match(/enrol-[0-9a-f]+/) ?? [];
        expect(token).not.toBe("");
        expect(await page.content()).not.toContain(token);

        const home = mkdtempSync(join(stack.home, "box-"));
        const { LEDGER_KEY: _, ...env } = process.env;
        const box = runProcess("bash", ["-c", `${line.trim()} --work work --spool spool`], {
          cwd: home,
          env: { ...env, HOME: home, XDG_CONFIG_HOME: home },
          detached: true,
        });
        const card = page.getByRole("listitem").filter({
          has: page.getByRole("heading", { name: "vast 17" }),
        });
        await card.getByText("at work").waitFor({ timeout: 60_000 });
        await card.getByRole("link", { name: "third" }).waitFor();
        await card.getByText("idle").waitFor({ timeout: 60_000 });
        await card.getByRole("button", { name: "Runs (2)" }).click();
        const runs = page.getByRole("region", { name: "Runs of vast 17" });
        await runs.getByRole("link", { name: "second" }).waitFor();
        await expect.poll(() => runs.getByText("Success").count()).toBe(2);
        expect(await card.textContent()).toContain("tiny");
        expect(await card.textContent()).toContain("3,600.00 an hour");

        const login = JSON.parse(readFileSync(join(home, "lora-ledger/login.json"), "utf8"));
        const asBox = async () =>
          (
            await fetch(`${stack.url}/api/queue/claim`, {
              method: "POST",
              headers: { Authorization: `Bearer ${login.key}`, "Content-Type": "application/json" },
              body: JSON.stringify({ agent: "again" }),
            })
          ).status;
        expect(await asBox()).toBe(200);
        await card.getByRole("button", { name: "Revoke vast 17" }).click();
        await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
        await page.getByText("No boxes are enrolled").waitFor();
        await page.getByRole("checkbox", { name: "Show revoked boxes" }).check();
        await card.getByText("revoked", { exact: true }).waitFor();
        expect(await asBox()).toBe(401);
        // An agent without a key ends by itself; one that has not asked yet is ended with all it started.
        const { pid, exitCode } = box.child;
        if (pid && exitCode === null) process.kill(-pid, "SIGKILL");
        await box.ended;
      },
      { key },
    );
  }, 240_000);

  it("adds up what runs have cost, as the API does, and says where no price is known", async () => {
    await stack.api("/api/tasks", { task_name: "without a price", experiment_group: "free" });
    await pages.signedIn(async (page) => {
      const shown = (n: number) =>
        n.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
      const tile = (name: string) =>
        page.getByRole("listitem").filter({ hasText: name }).locator("b").textContent();
      await page.goto(`${pages.url}/board/money`);
      await page.getByText("is unknown; they count as zero").waitFor();
      const sums = await stack.api(
        "/api/stats/tasks?group_by=experiment_group&select=sum(cost)&order_by=-sum(cost)",
      );
      const cost = sums.items[0].values["sum(cost)"];
      expect(sums.items[0].group.experiment_group).toBe("night");
      expect(cost).toBeGreaterThan(1);
      expect(await tile("Total")).toBe(shown(cost));
      const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "night" }) });
      expect(await row.getByRole("cell").allTextContents()).toContain(shown(cost));
      await page.getByRole("button", { name: "By week" }).click();
      await page.getByRole("row", { name: /^from / }).waitFor();
      const filter = page.getByRole("combobox", { name: "Filter" });
      await filter.fill("experiment_group = 'free'");
      await page.keyboard.press("Enter");
      await page.getByText("The cost of these runs is unknown.").waitFor();
      await filter.fill("experiment_group = ");
      await page.keyboard.press("Enter");
      await page
        .getByRole("alert")
        .filter({ hasText: /^Character 1\d/ })
        .waitFor();
    });
  }, 60_000);

  it("shows what takes the space, and what a rule would free, before it is applied", async () => {
    const options = { ...desktop, timezoneId: "America/Los_Angeles" };
    const work = async (page: Page) => {
      await page.goto(`${pages.url}/board/storage`);
      const row = page.getByRole("row").filter({ has: page.getByRole("link", { name: "night" }) });
      await row.waitFor();
      await page.getByRole("button", { name: "New rule" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByRole("textbox", { name: "Name" }).fill("tidy");
      await dialog.getByRole("spinbutton", { name: /^Number of best runs/ }).fill("");
      await dialog.getByRole("button", { name: "Make the rule" }).click();
      await page.getByRole("button", { name: "Preview tidy" }).click();
      const [rule] = (await stack.api("/api/storage/rules")).items;
      const { files } = await stack.api(`/api/storage/rules/${rule.id}/preview`);
      expect(files).toBeGreaterThan(0);
      await dialog.getByText(`${files} files of`).waitFor();
      await dialog.getByRole("button", { name: "Put into the trash" }).click();
      await page.getByText(`${files} files are in the trash`).waitFor();
      const trash = page.getByRole("region", { name: "Trash" });
      await expect.poll(() => trash.getByRole("cell").allTextContents()).toContain(String(files));
      // The day on which it goes is one of UTC, and no other where the reader's clock is behind.
      const [{ goes_on }] = (await stack.api("/api/storage/trash")).days;
      const day = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeZone: "UTC" });
      await trash.getByRole("cell", { name: day.format(new Date(goes_on)), exact: true }).waitFor();
      await row.getByRole("link", { name: "night" }).click();
      await page.getByRole("link", { name: "third" }).waitFor();
    };
    await pages.signedIn(work, { options });
  }, 60_000);

  it("tells what happened and to whom, and sends again what was not taken", async () => {
    let broken = true;
    const got: unknown[] = [];
    const receiver = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      got.push(JSON.parse(body));
      response.writeHead(broken ? 500 : 200).end();
    });
    await new Promise<void>((done) => receiver.listen(0, "127.0.0.1", done));
    const { port } = receiver.address() as AddressInfo;
    const hook = { name: "team", url: `http://127.0.0.1:${port}/`, kinds: ["failed"] };
    const { id } = await stack.api("/api/webhooks", hook);
    try {
      const queue = { labels: ["nowhere"] };
      const { task_id } = await stack.api("/api/tasks", { task_name: "too big", queue });
      const end = { status: "failed", failure_reason: "oom", error_message: "out of memory" };
      await stack.api(`/api/tasks/${task_id}/finish`, end);
      await eventually("it to be given up", async () => {
        await runScheduled(stack.url);
        return (await stack.api(`/api/deliveries?webhook=${id}`)).items[0]?.state === "dead";
      });
      broken = false;
      const tried = got.length;
      await pages.signedIn(async (page) => {
        await page.goto(`${pages.url}/board/alerts`);
        await page.getByRole("button", { name: "Not delivered" }).click();
        await page.getByText("was answered 500").waitFor();
        await page.getByRole("button", { name: "Send again: too big to team" }).click();
        await page.getByText("All messages were delivered").waitFor();
        await page.getByRole("button", { name: "All", exact: true }).click();
        const event = page.getByRole("listitem").filter({ hasText: "too big" }).first();
        await event.getByText("delivered").waitFor();
        expect(got).toHaveLength(tried + 1);
        expect(got.at(-1)).toMatchObject({ data: { subject_id: task_id } });
        await event.getByRole("link", { name: "too big" }).click();
        await page.getByRole("heading", { name: "too big" }).waitFor();

        // A failure is tried again from the board.
        await page.goto(`${pages.url}/board`);
        await page.getByText("too big").click();
        await page.getByRole("button", { name: "Retry too big" }).click();
        await page.getByText("Nothing failed").waitFor();
        expect((await stack.api(`/api/tasks/${task_id}`)).status).toBe("pending");
      });
    } finally {
      receiver.closeAllConnections();
      receiver.close();
    }
  }, 120_000);

  it("shows names as text, and gives axe nothing to find, in both themes and on a phone", async () => {
    const evil = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>';
    const common = { task_name: evil, experiment_group: evil, gpu_info: evil, hourly_price: 3600 };
    const node_info = { hostname: evil };
    const queue = { labels: ["sdxl"], min_gpu_memory_gb: 24, priority: 9 };
    const { task_id } = await stack.api("/api/tasks", { ...common, node_info, queue });
    const blocked = { task_name: `${evil} 2`, queue: { depends_on: [task_id] } };
    await stack.api("/api/tasks", blocked);
    await stack.api("/api/tasks", { ...common, queue: { ...queue, labels: ["flux"] } });
    const { token } = await stack.api("/api/boxes/enrol", { name: evil, hourly_price: 0.4 });
    const joined = { token, gpu_info: evil };
    const { key } = await stack.api("/api/boxes/exchange", joined);
    const gpu = { name: evil, memory_gb: 24 };
    await stack.api("/api/queue/claim", { agent: evil, labels: ["sdxl"], gpu }, key);
    const logs = [{ step: 3, metrics: { loss: 1, "gpu.0.util": 97 } }];
    const beat = { attempt: 1, seq: 1, progress: { step: 3, total_steps: 9 }, logs };
    await stack.api(`/api/tasks/${task_id}/heartbeat`, beat, key);
    await stack.api("/api/webhooks", { name: evil, url: "http://127.0.0.1:9/" });
    const { task_id: failed } = await stack.api("/api/tasks", common);
    const end = { status: "failed", failure_reason: "oom", error_message: evil };
    await stack.api(`/api/tasks/${failed}/finish`, end);
    await stack.api("/api/storage/rules", { name: evil, rule: { last: 1 } });
    const file = { filename: "x.safetensors", size: 3, sha256: "0".repeat(64), kind: "final" };
    await stack.api(`/api/tasks/${failed}/weights`, file);
    await runScheduled(stack.url);
    const places = ["", "/queue", "/boxes", "/money?by=box", "/storage", "/alerts"];
    const lookAround = ([name, options]: [string, Look]) =>
      pages.signedIn(
        async (page) => {
          for (const path of [...places, "/usage"]) {
            // To load every page in one look is enough.
            if (options === looks["light desktop"]) await page.goto(`${pages.url}/board${path}`);
            else await leadTo(page, `/board${path}`);
            await settled(page);
            if (path === "/boxes") await page.getByRole("button", { name: /^Runs \(/ }).click();
            if (path !== "/usage") await page.getByText(evil).first().waitFor();
            else await page.getByRole("region", { name: "Everyone's limits" }).waitFor();
            const hit = "[String(window.hit), document.querySelectorAll('img[src=x]').length]";
            expect([path, await page.evaluate(hit)]).toEqual([path, ["undefined", 0]]);
            expect([name, path, await axe(page)]).toEqual([name, path, []]);
            const wide = "document.documentElement.scrollWidth <= window.innerWidth";
            expect([name, path, await page.evaluate(wide)]).toEqual([name, path, true]);
          }
          await page.goto(`${pages.url}/board/boxes`);
          await page.getByRole("button", { name: "Enrol a box" }).click();
          expect([name, "a dialog", await axe(page)]).toEqual([name, "a dialog", []]);
        },
        { options },
      );
    await Promise.all(Object.entries(looks).map(lookAround));
    // Chinese has every text; a viewer sees all of it and no button that changes anything.
    const viewer = await stack.key("reader", "viewer");
    await pages.signedIn(
      async (page) => {
        await page.evaluate('localStorage.setItem("ledger.language", "zh")');
        await page.reload();
        for (const path of [...places, "/usage"]) {
          await leadTo(page, `/board${path}`);
          await settled(page);
          expect(await page.getByRole("alert").count(), path).toBe(0);
        }
        await page.goto(`${pages.url}/board/queue`);
        await page.getByRole("region", { name: "等待中的训练" }).waitFor();
        expect(await page.getByRole("button", { name: /^(取消|修改)/ }).count()).toBe(0);
      },
      { key: viewer },
    );
  }, 240_000);
});
