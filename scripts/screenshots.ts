/** `npm run screenshots`: pictures of the pages over a ledger with made-up runs, into docs/. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { desktop, launch, phone, signIn } from "../test/browser.ts";
import { startStack } from "../test/stack.ts";
import { build } from "./build.ts";
import { seedDemo } from "./local/demo.ts";
import { seedBoard } from "./local/demo-board.ts";
import { root } from "./local/processes.ts";
import { main } from "./local/say.ts";

await main(async () => {
  await build();
  const stack = await startStack({ ALLOW_INSIDE_WEBHOOKS: "true" });
  const browser = await launch();
  let closeReceiver = () => {};
  try {
    // Chromium keeps a secure cookie at localhost.
    const url = stack.url.replace("127.0.0.1", "localhost");
    const { shown } = await seedDemo(url, stack.admin);
    closeReceiver = (await seedBoard(url, stack.admin, stack.databaseUrl())).close;
    const folder = join(root, "docs/screenshots");
    mkdirSync(folder, { recursive: true });
    const chosen = [shown.success, shown.samples, shown.success - 1].join(",");
    const pages = {
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
    const signInPage = "sign-in";
    const looks = {
      light: { ...desktop, viewport: { width: 1280, height: 800 }, colorScheme: "light" },
      dark: { ...desktop, viewport: { width: 1280, height: 800 }, colorScheme: "dark" },
      phone: { ...phone, deviceScaleFactor: 1, colorScheme: "light" },
    } as const;
    for (const [look, options] of Object.entries(looks)) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      // Playwright itself writes no WebP, which is a quarter of a PNG.
      const browserSession = await context.newCDPSession(page);
      const picture = async (name: string, path: string) => {
        await page.goto(url + path);
        await page.waitForLoadState("networkidle");
        await page.waitForTimeout(700);
        const { data } = await browserSession.send("Page.captureScreenshot", {
          format: "webp",
          quality: 70,
        });
        writeFileSync(join(folder, `${name}-${look}.webp`), Buffer.from(data, "base64"));
      };
      await picture(signInPage, "/");
      await signIn(page, url, stack.admin);
      for (const [name, path] of Object.entries(pages)) await picture(name, path);
      await context.close();
      console.log(`${look}: ${Object.keys(pages).length + 1} pages`);
    }
    const gallery = [signInPage, ...Object.keys(pages)].map((name) => {
      const pictures = Object.keys(looks).map(
        (look) => `![${name}, ${look}](${name}-${look}.webp)`,
      );
      return `| ${pictures.join(" | ")} |\n`;
    });
    writeFileSync(
      join(folder, "README.md"),
      `# The pages\n\nMade by \`npm run screenshots\`, over a ledger with made-up runs.\n\n| ${Object.keys(looks).join(" | ")} |\n|---|---|---|\n${gallery.join("")}`,
    );
  } finally {
    await browser.close();
    closeReceiver();
    await stack.stop();
  }
});
