/**
 * `npm run screenshots`: pictures of the pages over a ledger with made-up runs, into docs/. `npm run screenshots --
 * curves` draws those of curves alone.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { desktop, launch, phone, signIn } from "../test/browser.ts";
import { startStack } from "../test/stack.ts";
import { build } from "./build.ts";
import { seedDemo } from "./local/demo.ts";
import { seedBoard } from "./local/demo-board.ts";
import { seedCurves } from "./local/demo-curves.ts";
import { root } from "./local/processes.ts";
import { main } from "./local/say.ts";

const folder = join(root, "docs/screenshots");
const small = { viewport: { width: 1280, height: 800 } };
const looks = {
  light: { ...desktop, ...small, colorScheme: "light" },
  dark: { ...desktop, ...small, colorScheme: "dark" },
  phone: { ...phone, deviceScaleFactor: 1, colorScheme: "light" },
  chinese: { ...desktop, ...small, colorScheme: "light" },
} as const;
type Look = keyof typeof looks;

/** Takes a picture of each page in each look, and writes a page that shows them. */
async function take(
  browser: Browser,
  { url, key }: { url: string; key: string },
  pages: Record<string, string>,
  { chosen, title, file }: { chosen: Look[]; title: string; file: string },
) {
  for (const look of chosen) {
    const context = await browser.newContext(looks[look]);
    const page = await context.newPage();
    // Playwright itself writes no WebP, which is a quarter of a PNG.
    const browserSession = await context.newCDPSession(page);
    let isSignedIn = false;
    for (const [name, path] of Object.entries(pages)) {
      if (!isSignedIn && name !== "sign-in") {
        await signIn(page, url, key);
        isSignedIn = true;
        if (look === "chinese") {
          await page.getByRole("button", { name: /signing out/ }).click();
          await page.getByRole("button", { name: "简体中文" }).click();
          await page.getByRole("link", { name: "设置" }).waitFor();
        }
      }
      await page.goto(url + path);
      await page.waitForLoadState("networkidle");
      if (name === "curve-sixty")
        await page.evaluate("document.querySelector('main').scrollTop = 560");
      await page.waitForTimeout(700);
      const { data } = await browserSession.send("Page.captureScreenshot", {
        format: "webp",
        quality: 70,
      });
      writeFileSync(join(folder, `${name}-${look}.webp`), Buffer.from(data, "base64"));
    }
    await context.close();
    console.log(`${look}: ${Object.keys(pages).length} pages`);
  }
  const gallery = Object.keys(pages).map((name) => {
    const pictures = chosen.map((look) => `![${name}, ${look}](${name}-${look}.webp)`);
    return `| ${pictures.join(" | ")} |\n`;
  });
  writeFileSync(
    join(folder, file),
    `# ${title}\n\nMade by \`npm run screenshots\`, over a ledger with made-up runs.\n\n| ${chosen.join(" | ")} |\n|${chosen.map(() => "---|").join("")}\n${gallery.join("")}`,
  );
}

await main(async () => {
  await build();
  mkdirSync(folder, { recursive: true });
  const stack = await startStack({ ALLOW_INSIDE_WEBHOOKS: "true", RATE_LIMITS: "false" });
  const browser = await launch("chinese");
  let closeReceiver = () => {};
  try {
    // Chromium keeps a secure cookie at localhost.
    const at = { url: stack.url.replace("127.0.0.1", "localhost"), key: stack.admin };
    if (process.argv[2] !== "curves") {
      const { shown } = await seedDemo(at.url, at.key);
      closeReceiver = (await seedBoard(at.url, at.key, stack.databaseUrl())).close;
      const chosen = [shown.success, shown.samples, shown.success - 1].join(",");
      const pages = {
        "sign-in": "/",
        runs: "/runs",
        selected: `/runs?sel=${chosen}`,
        run: `/runs/${shown.running}`,
        samples: `/runs/${shown.samples}?tab=samples`,
        compare: `/compare?ids=${chosen}`,
        parameters: "/compare?view=explore",
        board: "/board",
        queue: "/board/queue",
        boxes: "/board/boxes",
        money: "/board/money",
        storage: "/board/storage",
        alerts: "/board/alerts",
        use: "/board/usage",
        leaderboard: "/leaderboard",
        models: "/models",
        model: "/models/watercolor-landscapes",
        settings: "/settings/keys",
        users: "/settings/users",
        webhooks: "/settings/webhooks",
        "first-run": "/settings/first-run",
      };
      const kinds: Look[] = ["light", "dark", "phone"];
      await take(browser, at, pages, { chosen: kinds, title: "The pages", file: "README.md" });
    }
    const made = await seedCurves(at.url, at.key);
    const pages = {
      "curve-lengths": `/compare?ids=${made.lengths.join(",")}`,
      "curve-nan": `/runs/${made.nan}`,
      "curve-spike": `/runs/${made.spike}`,
      "curve-resumed": `/runs/${made.resumed}`,
      "curve-sixty": `/runs/${made.sixty}`,
      "curve-groups": `/compare?ids=${made.groups.join(",")}&by=lora_rank`,
      "curve-baseline": `/compare?ids=${made.groups.slice(0, 4).join(",")}&baseline=${made.groups[0]}&diff=1`,
    };
    const all = Object.keys(looks) as Look[];
    await take(browser, at, pages, { chosen: all, title: "Curves", file: "curves.md" });
  } finally {
    await browser.close();
    closeReceiver();
    await stack.stop();
  }
});
