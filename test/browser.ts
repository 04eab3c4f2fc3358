// A real Chromium for tests of the pages: the system's own, driven by playwright-core.
import { existsSync } from "node:fs";
import { type BrowserContextOptions, chromium, type Page } from "playwright-core";

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

/** Signs in as a person does: pastes the key into the page. */
export async function signIn(page: Page, url: string, key: string) {
  await page.goto(url);
  await page.getByRole("textbox", { name: "Key" }).fill(key);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("navigation", { name: "Pages" }).waitFor();
}
