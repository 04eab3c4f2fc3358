// A real Chromium for tests of the pages: the system's own, driven by playwright-core.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import {
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";

const require = createRequire(import.meta.url);

const known = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/** Where the browser is: CHROMIUM_BIN, or where systems put it; undefined where there is none. */
export const chromiumPath = (): string | undefined =>
  [process.env.CHROMIUM_BIN, ...known].find((path) => path && existsSync(path));

/** What to say, and do, where there is no browser. */
export const noBrowser =
  "no Chromium here, so the pages are not tried in a browser: install it (apt-get install chromium) or name one by CHROMIUM_BIN";

/** Starts the browser; it asks nobody but the addresses that a page names. */
export function launch() {
  const executablePath = chromiumPath();
  if (!executablePath) throw new Error(noBrowser);
  return chromium.launch({
    executablePath,
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

export const desktop: BrowserContextOptions = {
  viewport: { width: 1440, height: 900 },
  locale: "en",
};
export const phone: BrowserContextOptions = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 2,
  hasTouch: true,
  isMobile: true,
  locale: "en",
};

/** How a page is looked at where it has to be fit for all. */
export const looks: Record<string, BrowserContextOptions> = {
  "light desktop": { ...desktop, colorScheme: "light" },
  "dark desktop": { ...desktop, colorScheme: "dark" },
  "dark phone": { ...phone, colorScheme: "dark" },
};

/** Signs in as a person does: pastes the key into the page. */
export async function signIn(page: Page, url: string, key: string) {
  await page.goto(url);
  await page.getByRole("textbox", { name: "Key" }).fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
}

const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/**
 * Lists what axe finds wrong with the page: nothing, where all is well. An open menu covers what lies
 * behind it until it is closed, so the sizes of targets count within the menu alone while one is open:
 * which targets it covers in part depends on the machine's fonts.
 */
export async function axe(page: Page): Promise<string[]> {
  await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  return page.evaluate<string[]>(
    `axe.run(document, { runOnly: ${JSON.stringify(rules)}, elementRef: true }).then(({ violations }) => {
      const covered = ({ element }) => document.querySelector(".menu:popover-open") && !element.closest(".menu");
      return violations.flatMap(({ id, nodes }) => nodes
        .filter((node) => id !== "target-size" || !covered(node)).slice(0, 4)
        .map((node) => id + ": " + node.html.slice(0, 200) + " " + node.failureSummary));
    })`,
  );
}

/** The pages of a stack, in a browser of their own that `close` ends. */
export async function openPages(stack: { url: string; admin: string }) {
  const browser = await launch();
  /** Chromium keeps a secure cookie at localhost, where nothing can listen in. */
  const url = stack.url.replace("127.0.0.1", "localhost");

  /** A page, and a list that its scripts' errors, and what its policy had to stop, are added to. */
  async function open(
    options: BrowserContextOptions = desktop,
  ): Promise<[BrowserContext, Page, string[]]> {
    const faults: string[] = [];
    const context = await browser.newContext(options);
    const page = await context.newPage();
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      if (/Content Security Policy|TrustedHTML|TrustedScript/.test(message.text()))
        faults.push(message.text());
    });
    return [context, page, faults];
  }

  /** Runs with a signed-in page, and sees to it that nothing went wrong on it. */
  async function signedIn<T>(
    work: (page: Page, context: BrowserContext) => Promise<T>,
    {
      key = stack.admin,
      options = desktop,
    }: { key?: string; options?: BrowserContextOptions } = {},
  ): Promise<T> {
    const [context, page, faults] = await open(options);
    try {
      await signIn(page, url, key);
      const result = await work(page, context);
      if (faults.length > 0) throw new Error(`faults on the pages: ${faults.join("; ")}`);
      return result;
    } finally {
      await context.close();
    }
  }

  return { browser, url, open, signedIn, close: () => browser.close() };
}

export type Pages = Awaited<ReturnType<typeof openPages>>;
