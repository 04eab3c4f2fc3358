import { useSyncExternalStore } from "preact/compat";
import type { Message } from "./message.ts";
import type { zh as chinese } from "./zh.ts";

/** Texts are written in English where they are used; zh.ts has each of them, or it does not compile. */
export type Text = keyof typeof chinese;
export type Language = "en" | "zh";

const KEY = "ledger.language";
let translations: Record<Text, string> | null = null;
let service: typeof import("./zh-problems.ts") | null = null;
let language: Language = "en";
const listeners = new Set<() => void>();

export const currentLanguage = () => language;

/** Switches the pages to a language, and remembers it. */
export async function speak(next: Language, remember = true) {
  const chinese =
    next === "zh" ? await Promise.all([import("./zh.ts"), import("./zh-problems.ts")]) : null;
  translations = chinese?.[0].zh ?? null;
  service = chinese?.[1] ?? null;
  language = next;
  document.documentElement.lang = next === "zh" ? "zh-Hans" : "en";
  if (remember) localStorage.setItem(KEY, next);
  for (const listener of listeners) listener();
}

// Another tab's choice is this one's too.
globalThis.window?.addEventListener("storage", ({ key }) => {
  if (key === KEY && preferredLanguage() !== language) void speak(preferredLanguage(), false);
});

/** The language chosen before, or the browser's. */
export function preferredLanguage(): Language {
  const chosen = localStorage.getItem(KEY);
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** Draws a component again when the language changes. */
export const useLanguage = () =>
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, currentLanguage);

/** A text in the language in use; `{name}` is replaced by its value. */
export function t(text: Text, values: Record<string, string | number> = {}): string {
  const translated: string = translations?.[text] ?? text;
  return translated.replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
    String(values[name] ?? whole),
  );
}

/** A message of the service in the language in use; in English where its code has no translation. */
export const translate = (message: Message): string =>
  service?.inChinese(message) ?? message.message;
