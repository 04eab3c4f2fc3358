// A real Chromium for tests of the pages: the system's own, driven by playwright-core.
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";
import { type Fonts, fontsFile, hasFonts } from "./fonts.ts";

const require = createRequire(import.meta.url);

const known = [
  // The one that shows nothing comes first: the others draw their windows, too, at half the work again.
  "/usr/bin/chromium-headless-shell",
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
export function launch(fonts: Fonts = "plain") {
  const executablePath = chromiumPath();
  if (!executablePath) throw new Error(noBrowser);
  const file = fontsFile(fonts);
  return chromium.launch({
    executablePath,
    env: { ...process.env, ...(file && { FONTCONFIG_FILE: file }) },
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

export type Look = BrowserContextOptions & { fonts?: Fonts };

const chinese = hasFonts("chinese") ? "chinese" : "plain";
if (chromiumPath() && chinese === "plain")
  console.warn(
    "no Noto CJK fonts here, so the pages are tried with plain fonts alone (apt-get install fonts-noto-cjk fonts-dejavu)",
  );

/** How a page is looked at where it has to be fit for all: each theme and each set of fonts at both sizes. */
export const looks: Record<string, Look> = {
  "light desktop": { ...desktop, colorScheme: "light" },
  "dark desktop, Chinese fonts": { ...desktop, colorScheme: "dark", fonts: chinese },
  "dark phone": { ...phone, colorScheme: "dark" },
  "light phone, Chinese fonts": { ...phone, colorScheme: "light", fonts: chinese },
};

/** The requests of a page that are on their way, and how many it has sent so far. */
const traffic = new WeakMap<Page, { open: Set<object>; sent: number }>();

function watchTraffic(page: Page) {
  const seen = { open: new Set<object>(), sent: 0 };
  traffic.set(page, seen);
  page.on("request", (request) => {
    seen.open.add(request);
    seen.sent++;
  });
  page.on("requestfinished", (request) => seen.open.delete(request));
  page.on("requestfailed", (request) => seen.open.delete(request));
}

/**
 * Waits until a page of `open` shows all that it has to show: nothing that it asked for is on its way, what
 * came is drawn, and nothing more was asked for a while, as what is put off for a moment would be.
 */
export async function settled(page: Page, seconds = 30) {
  const seen = traffic.get(page);
  if (!seen) throw new Error("nobody counts this page's requests");
  const drawn =
    "new Promise((done) => requestIdleCallback(() => requestAnimationFrame(() => setTimeout(done))))";
  const until = Date.now() + seconds * 1000;
  for (let calm = 0; calm < 2; ) {
    if (Date.now() > until)
      throw new Error(`${page.url()} was not done after ${seconds} s: ${seen.open.size} requests`);
    const before = seen.sent;
    await page.evaluate(drawn);
    calm = seen.open.size === 0 && seen.sent === before ? calm + 1 : 0;
    if (calm === 1) await page.evaluate("new Promise((done) => setTimeout(done, 150))");
  }
}

/** Signs in as a person does: pastes the key into the page. */
export async function signIn(page: Page, url: string, key: string) {
  await page.goto(url);
  await page.getByRole("textbox", { name: "Key" }).fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
}

/** Leads a page that is open to another address of its own, as its links do: without loading its scripts anew. */
export const leadTo = (page: Page, path: string) =>
  page.evaluate(`history.pushState(null, "", ${JSON.stringify(path)})`);

const axeSource = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/**
 * Lists what axe finds wrong with the page: nothing, where all is well. An open menu covers what lies
 * behind it until it is closed, so the sizes of targets count within the menu alone while one is open:
 * which targets it covers in part depends on the machine's fonts.
 */
export async function axe(page: Page): Promise<string[]> {
  // A page that is only led to another address has it already.
  if (!(await page.evaluate<boolean>('"axe" in window'))) await page.evaluate(axeSource);
  return page.evaluate<string[]>(
    `axe.run(document, { runOnly: ${JSON.stringify(rules)}, resultTypes: ["violations"], elementRef: true }).then(({ violations }) => {
      const covered = ({ element }) => document.querySelector(".menu:popover-open") && !element.closest(".menu");
      return violations.flatMap(({ id, nodes }) => nodes
        .filter((node) => id !== "target-size" || !covered(node)).slice(0, 4)
        .map((node) => id + ": " + node.html.slice(0, 200) + " " + node.failureSummary));
    })`,
  );
}

/** The pages of a stack, in browsers of their own, one for each set of fonts; `close` ends them. */
export async function openPages(stack: { url: string; admin: string }) {
  const browser = await launch();
  const others = new Map<Fonts, Promise<Browser>>();
  const browserWith = (fonts: Fonts = "plain") => {
    if (fonts === "plain") return browser;
    const started = others.get(fonts) ?? launch(fonts);
    others.set(fonts, started);
    return started;
  };
  /** Chromium keeps a secure cookie at localhost, where nothing can listen in. */
  const url = stack.url.replace("127.0.0.1", "localhost");

  /** A page, and a list that its scripts' errors, and what its policy had to stop, are added to. */
  async function open({
    fonts,
    ...options
  }: Look = desktop): Promise<[BrowserContext, Page, string[]]> {
    const faults: string[] = [];
    const context = await (await browserWith(fonts)).newContext(options);
    const page = await context.newPage();
    watchTraffic(page);
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("console", (message) => {
      if (/Content Security Policy|TrustedHTML|TrustedScript/.test(message.text()))
        faults.push(message.text());
    });
    return [context, page, faults];
  }

  /** Forgets how the first user likes to see curves: a choice of one test is no default of the next. */
  async function forgetChoices() {
    const answer = await fetch(`${stack.url}/api/me/preferences/charts`, {
      method: "PUT",
      headers: { Authorization: `Bearer ${stack.admin}`, "Content-Type": "application/json" },
      body: JSON.stringify({ value: {} }),
    });
    if (!answer.ok) throw new Error(`the choices stay: ${answer.status} ${await answer.text()}`);
    await answer.body?.cancel();
  }

  /** Runs with a signed-in page, and sees to it that nothing went wrong on it. */
  async function signedIn<T>(
    work: (page: Page, context: BrowserContext) => Promise<T>,
    { key = stack.admin, options = desktop }: { key?: string; options?: Look } = {},
  ): Promise<T> {
    const [context, page, faults] = await open(options);
    try {
      await signIn(page, url, key);
      if (key === stack.admin) await forgetChoices();
      const result = await work(page, context);
      if (faults.length > 0) throw new Error(`faults on the pages: ${faults.join("; ")}`);
      return result;
    } finally {
      await context.close();
    }
  }

  async function close() {
    for (const started of [browser, ...others.values()]) await (await started).close();
  }

  return { browser, url, open, signedIn, close };
}

export type Pages = Awaited<ReturnType<typeof openPages>>;
