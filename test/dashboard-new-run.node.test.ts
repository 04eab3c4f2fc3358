// A new run from the page to its end: an editor in a real Chromium, the real stack, and the client's own agent.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { axe, chromiumPath, looks, openPages, type Pages } from "./browser.ts";
import { type Stack, startStack, trainer, trainerFolder } from "./stack.ts";
import { lora, upload } from "./uploads.ts";

const evil = '<img src=x onerror="window.hit=1">';
const secret = "0123456789abcdef0123456789abcdef01234567";

describe.skipIf(!chromiumPath())("the page of a new run", () => {
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

  const editor = (page: Page) => page.getByRole("textbox", { name: "Configuration" });
  const read = (page: Page) => page.getByRole("region", { name: "Read from the file" });
  const button = (page: Page, name: string) => page.getByRole("button", { name, exact: true });
  const found = (page: Page, text: string) => read(page).getByText(text).first().waitFor();
  /** Opens the page, and waits for its editor. */
  async function open(page: Page, query = "") {
    await page.goto(`${pages.url}/new${query}`);
    await editor(page).waitFor();
  }
  /** Puts a text in place of the editor's, as a paste does. */
  async function write(page: Page, text: string) {
    await editor(page).focus();
    await page.keyboard.press("ControlOrMeta+a");
    await page.keyboard.insertText(text);
  }
  /** Sends what the form holds, and gives the run that it leads to. */
  async function queue(page: Page, name = "Queue the run") {
    await button(page, name).click();
    await page.waitForURL(/\/runs\/\d+$/);
    return stack.api(`/api/tasks/${page.url().split("/").at(-1)}`);
  }
  const agent = (labels: string, env: Record<string, string> = {}) =>
    stack.client(
      [
        ...["agent", "--spool", join(stack.home, `spool-${labels}`), "--work"],
        ...[join(stack.home, `work-${labels}`), "--labels", labels, "--once"],
        ...["--exec", `python3 ${trainer} --config_file {config}`],
      ],
      { env: { LEDGER_BOX: labels, ...env } },
    );

  it("leads from a template over what is read of it to a run that a box trains", async () => {
    const { config } = trainerFolder(stack.home, { max_train_epochs: 1 });
    const task = await pages.signedIn(async (page) => {
      await page.getByRole("link", { name: "New run" }).click();
      await page.getByLabel("Trainer").selectOption("kohya");
      await page.getByLabel("Base architecture").selectOption("sdxl");
      await found(page, "kohya");
      await found(page, "sdxl");
      await found(page, "1,600");
      await read(page).getByText("not known yet").waitFor();
      // The toy trainer's own data and folders, in the place of what the template leaves open.
      await write(
        page,
        readFileSync(config, "utf8").replace("network_dim = 4", "network_dim = 12"),
      );
      await read(page).getByText("12", { exact: true }).waitFor();
      await page.getByLabel("Labels that a box must have").fill("page");
      await page.getByLabel("Number of tries").fill("1");
      await page.getByLabel("Group").fill(evil);
      await page.getByLabel("Name", { exact: true }).fill(`${evil} first`);
      return queue(page);
    });
    expect(task).toMatchObject({
      ...{ task_name: `${evil} first`, experiment_group: evil, lora_rank: 12 },
      ...{ labels: ["page"], max_attempts: 1, status: "pending", trainer: "kohya" },
    });
    const { code, out } = await agent("page").ended;
    expect(code, out).toBe(0);
    expect(await stack.api(`/api/tasks/${task.id}`)).toMatchObject({
      status: "success",
      attempt: 1,
    });
  });

  it("marks a fault at its line, and what is typed last wins", async () => {
    await pages.signedIn(async (page) => {
      await open(page);
      const head = 'pretrained_model_name_or_path = "m"\nnetwork_module = "networks.lora"\n';
      await write(page, `${head}network_dim = \n`);
      await page.getByRole("alert").getByText("line 3").first().waitFor();
      await page
        .locator(".cm-lintRange-error, .cm-lintPoint-error, .cm-lint-marker-error")
        .first()
        .waitFor();
      expect(await button(page, "Queue the run").isDisabled()).toBe(true);
      await write(page, `${head}network_dim = 8\noutput_name = '${evil}'\n`);
      await read(page).getByText("8", { exact: true }).waitFor();
      await page.getByRole("alert").waitFor({ state: "hidden" });
      expect(await page.evaluate("window.hit")).toBeUndefined();
      // A setting of the trainer is offered where its line begins.
      await page.keyboard.type("optimizer_t");
      await page.getByRole("option", { name: /optimizer_type/ }).waitFor();
    });
  });

  it("clones a run whose secrets are left out, asks for them by name, and a box fills them", async () => {
    const { config } = trainerFolder(stack.home, { max_train_epochs: 1, wandb_api_key: secret });
    const path = "my_lora.toml";
    const { task_id: id } = await stack.api("/api/tasks", {
      task_name: "with a secret",
      config: { text: readFileSync(config, "utf8"), path },
    });
    const clone = await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${id}`);
      await button(page, "More").click();
      await page.getByRole("link", { name: "Clone" }).click();
      await editor(page).getByText("[redacted]").waitFor();
      await found(page, "kohya");
      expect(await button(page, "Queue the run").isDisabled()).toBe(true);
      const secrets = page.getByRole("region", { name: "Secrets" });
      await secrets.getByLabel("The box has WANDB_API_KEY").check();
      await page.getByLabel("Labels that a box must have").fill("cloned");
      await page.getByText("No line differs from the beginning").waitFor();
      return queue(page);
    });
    expect(clone).toMatchObject({ parent_task_id: id, task_name: "with a secret" });
    const again = await stack.api(`/api/tasks/${clone.id}/reproduce`);
    expect(again.config.secrets).toEqual([{ at: expect.any(Number), name: "wandb_api_key" }]);
    const first = await stack.api(`/api/tasks/${id}/reproduce`);
    expect(again.config.base64).toBe(first.config.base64);
    const { code, out } = await agent("cloned", { WANDB_API_KEY: "put-in-here" }).ended;
    expect(code, out).toBe(0);
    const work = join(stack.home, "work-cloned", `task-${clone.id}-attempt-1`);
    expect(readFileSync(join(work, "my_lora-with-secrets.toml"), "utf8")).toContain("put-in-here");
  });

  it("refuses to queue a mark that no box fills", async () => {
    const { task_id: id } = await stack.api("/api/tasks", {
      config: { text: 'network_module = "n"\nnote = "[redacted] of mine"\n', path: "a.toml" },
    });
    await pages.signedIn(async (page) => {
      await open(page, `?task=${id}`);
      await page.getByRole("alert").getByText("line 2 of the file").waitFor();
      expect(await button(page, "Queue the run").isDisabled()).toBe(true);
      await write(page, 'network_module = "n"\nnetwork_dim = 5\n');
      await page.getByRole("alert").waitFor({ state: "hidden" });
      await page.getByText("Lines that differ from the beginning").click();
      await page.getByText("+network_dim = 5").waitFor();
    });
  });

  it("says how many runs a sweep makes, refuses a million of them, and makes six", async () => {
    const { config } = trainerFolder(stack.home);
    await pages.signedIn(async (page) => {
      await open(page);
      await write(page, readFileSync(config, "utf8"));
      await found(page, "kohya");
      const sweep = page.getByRole("region", { name: "Sweep" });
      const thousand = Array.from({ length: 1000 }, (_, n) => n + 1).join(",");
      for (const [n, key] of ["network_dim", "seed"].entries()) {
        await sweep.getByRole("button", { name: "Vary a setting" }).click();
        await sweep.getByLabel(`Setting ${n + 1}`, { exact: true }).fill(key);
        await sweep.getByLabel(`Values of setting ${n + 1}`).fill(thousand);
      }
      await sweep.getByText("1,000,000 runs are too many").waitFor();
      await page.getByLabel("Group (a sweep needs one)").fill("swept");
      expect(await button(page, "Queue 1000000 runs").isDisabled()).toBe(true);
      await sweep.getByLabel("Values of setting 1").fill("4, 8, 16");
      await sweep.getByLabel("Values of setting 2").fill("1, 2");
      await sweep.getByText("6 runs").waitFor();
      await button(page, "Queue 6 runs").click();
      await page.waitForURL(/\/runs\?filter=/);
    });
    const { items } = await stack.api("/api/tasks?filter=experiment_group%20=%20'swept'");
    expect(items).toHaveLength(6);
    expect(new Set(items.map((run: { lora_rank: number }) => run.lora_rank))).toEqual(
      new Set([4, 8, 16]),
    );
    // The service refuses the same with its count, also where no page asked.
    const refused = await fetch(`${stack.url}/api/sweeps`, {
      method: "POST",
      headers: { Authorization: `Bearer ${stack.admin}`, "Content-Type": "application/json" },
      body: JSON.stringify({
        config: { text: "a = 1\nb = 1\nc = 1\n", format: "toml" },
        space: Object.fromEntries(
          ["a", "b", "c"].map((key) => [key, Array.from({ length: 100 }, (_, n) => n)]),
        ),
        experiment_group: "g",
      }),
    });
    expect(refused.status).toBe(422);
    expect(await refused.text()).toContain("makes 1000000 tasks");
  });

  it("goes on from a file by the trainer's own setting, or says that it cannot", async () => {
    const ledger: Parameters<typeof upload>[0] = {
      call: (path, { key: bearer, json } = {}) => stack.api(path, json, bearer),
      request: (path, init) => fetch(path.startsWith("http") ? path : stack.url + path, init),
    };
    const register = async (text: string, path: string) => {
      const { task_id: id } = await stack.api("/api/tasks", { config: { text, path } });
      const { id: weight } = await upload(ledger, stack.admin, id, lora(), {
        kind: "checkpoint",
        filename: "aki-000002.safetensors",
      });
      return { id, weight };
    };
    const { config } = trainerFolder(stack.home);
    const kohya = await register(readFileSync(config, "utf8"), "my_lora.toml");
    const script = "accelerate launch train_dreambooth_lora_sdxl.py --rank 8 --output_dir o\n";
    const diffusers = await register(script, "train.sh");
    await pages.signedIn(async (page) => {
      await page.goto(`${pages.url}/runs/${kohya.id}?tab=files`);
      await page.getByRole("link", { name: "Continue from aki-000002.safetensors" }).click();
      await page
        .getByRole("note")
        .getByText(`network_weights names task-${kohya.id}/aki-000002.safetensors`)
        .waitFor();
      await editor(page)
        .getByText(`network_weights = "task-${kohya.id}/aki-000002.safetensors"`)
        .waitFor();
      const run = await queue(page, "Queue the run");
      expect(run).toMatchObject({ parent_task_id: kohya.id });
      await stack.api(`/api/tasks/${run.id}/cancel`, {});
      await open(page, `?task=${diffusers.id}&weight=${diffusers.weight}`);
      await page
        .getByRole("note")
        .getByText("has no setting by which its configuration names")
        .waitFor();
    });
  });

  it("takes a file of 4 MB, says that it is too long to edit, and refuses a longer one", async () => {
    const file = join(stack.home, "long.toml");
    writeFileSync(file, `# ${"x".repeat(3_900_000)}\nnetwork_dim = 4\n`);
    const longer = join(stack.home, "longer.toml");
    writeFileSync(longer, "x".repeat(4_100_000));
    const binary = join(stack.home, "binary.bin");
    writeFileSync(binary, Buffer.from([0xff, 0xfe, 0x00, 0x80]));
    await pages.signedIn(async (page) => {
      await open(page);
      const choose = page.locator('input[type="file"]');
      await choose.setInputFiles(longer);
      await page.getByText("The file is over 4 MB.").waitFor();
      await choose.setInputFiles(binary);
      await page.getByText("The file is no text in UTF-8.").waitFor();
      await choose.setInputFiles(file);
      await page.getByText("The file of 3.9 MB is too long to edit here").waitFor();
      await read(page).getByText("larger than 500000 characters").waitFor();
      const run = await queue(page);
      expect(run).toMatchObject({ task_name: "long", status: "pending" });
    });
  });

  it("keeps a draft over a reload, and forgets it when asked", async () => {
    await pages.signedIn(async (page) => {
      await open(page);
      const text = 'pretrained_model_name_or_path = "m"\nnetwork_module = "n"\nnetwork_dim = 77\n';
      await write(page, text);
      await read(page).getByText("77", { exact: true }).waitFor();
      await page.reload();
      await read(page).getByText("77", { exact: true }).waitFor();
      await button(page, "Begin anew").click();
      await read(page).getByText("Nothing to read yet.").waitFor();
    });
  });

  it.each(Object.keys(looks))("is fit for all: %s", async (name) => {
    await pages.signedIn(
      async (page) => {
        await open(page, "?trainer=musubi-tuner&arch=wan");
        await found(page, "musubi-tuner");
        await page.getByRole("button", { name: "Vary a setting" }).click();
        expect(await axe(page)).toEqual([]);
        const wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth");
        expect(wide).toBe(false);
      },
      { options: looks[name] },
    );
  });
});
