/**
 * What somebody typed and did not save yet stays in this browser: through other tabs of the page, a reload
 * and the end of the session. Saving, giving it up and signing out take it away.
 */

const PREFIX = "ledger.draft.";
/** Drafts that are kept, and the characters of each; the oldest make room. */
const MOST = 30;
const LONGEST = 60_000;

type Draft = { at: number; text: string; base: string };

function parse(stored: string | null): Draft | null {
  try {
    const value: unknown = JSON.parse(stored ?? "null");
    if (typeof value !== "object" || value === null) return null;
    const [at, text, base] = ["at", "text", "base"].map((name) => Reflect.get(value, name));
    return typeof at === "number" && typeof text === "string" && typeof base === "string"
      ? { at, text, base }
      : null;
  } catch {
    // Another program's text, or a half-written one, is no draft.
    return null;
  }
}

const namesOf = (storage: Storage) =>
  Object.keys(storage).filter((name) => name.startsWith(PREFIX));

export function keepDraft(name: string, text: string, base: string, storage = localStorage) {
  const own = PREFIX + name;
  if (text.length + base.length > LONGEST) return storage.removeItem(own);
  try {
    storage.setItem(own, JSON.stringify({ at: Date.now(), text, base } satisfies Draft));
  } catch {
    // A browser without room keeps the draft on the page alone.
    return;
  }
  const others = namesOf(storage)
    .map((other) => ({ other, at: parse(storage.getItem(other))?.at ?? 0 }))
    .sort((a, b) => b.at - a.at);
  for (const { other } of others.slice(MOST)) storage.removeItem(other);
}

export const readDraft = (name: string, storage = localStorage) =>
  parse(storage.getItem(PREFIX + name));

export const dropDraft = (name: string, storage = localStorage) =>
  storage.removeItem(PREFIX + name);

/** Forgets all drafts: whoever signs out leaves none behind. */
export function dropDrafts(storage = localStorage) {
  for (const name of namesOf(storage)) storage.removeItem(name);
}
