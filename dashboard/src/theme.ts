export type Theme = "system" | "light" | "dark";
const KEY = "ledger.theme";

export function chosenTheme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

const listeners = new Set<() => void>();
/** Colours that were asked for since the theme last changed: to find one, the browser lays out the page. */
const found = new Map<string, string>();
const tell = () => {
  found.clear();
  for (const listener of listeners) listener();
};
/** Calls a listener when colours change: charts on canvas have to be drawn again. */
export function onTheme(listener: () => void) {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function applyTheme(theme: Theme) {
  if (theme === "system") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem(KEY);
  } else {
    document.documentElement.dataset.theme = theme;
    // Written where it differs: each write wakes the other tabs.
    if (localStorage.getItem(KEY) !== theme) localStorage.setItem(KEY, theme);
  }
  tell();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);

// Another tab's choice is this one's too.
window.addEventListener("storage", ({ key }) => key === KEY && applyTheme(chosenTheme()));

/** A colour of the style sheet as the canvas needs it. */
export function colour(name: string): string {
  const known = found.get(name);
  if (known !== undefined) return known;
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  found.set(name, color);
  return color;
}
