import { expect, it } from "vitest";
import { dropDraft, dropDrafts, keepDraft, readDraft } from "./draft-store.ts";

/** The part of a browser's storage that drafts use; `room` is how many characters it holds. */
function storageOf(room = Number.POSITIVE_INFINITY) {
  const values: Record<string, unknown> = {};
  const hidden = (name: string, value: unknown) =>
    Object.defineProperty(values, name, { value, enumerable: false });
  hidden("getItem", (name: string) => values[name] ?? null);
  hidden("setItem", (name: string, value: string) => {
    if (value.length > room) throw new DOMException("full", "QuotaExceededError");
    values[name] = value;
  });
  hidden("removeItem", (name: string) => delete values[name]);
  return values as unknown as Storage;
}

it("a draft is kept with what it began from, until it is dropped", () => {
  const storage = storageOf();
  expect(readDraft("1.note.7", storage)).toBeNull();
  keepDraft("1.note.7", "half", "before", storage);
  expect(readDraft("1.note.7", storage)).toMatchObject({ text: "half", base: "before" });
  expect(readDraft("2.note.7", storage)).toBeNull();
  dropDraft("1.note.7", storage);
  expect(readDraft("1.note.7", storage)).toBeNull();
});

it("drafts are bounded in number and length, and another program's text is none", () => {
  const storage = storageOf();
  storage.setItem("other", "stays");
  for (let n = 0; n < 60; n++) keepDraft(`1.note.${n}`, "x", "", storage);
  expect(Object.keys(storage).filter((name) => name.startsWith("ledger.draft."))).toHaveLength(30);
  keepDraft("1.long", "short", "", storage);
  keepDraft("1.long", "x".repeat(60_001), "", storage);
  expect(readDraft("1.long", storage)).toBeNull();
  for (const text of ["", "null", "7", "{", '{"at":1}', '{"at":"1","text":"a","base":""}', "[]"]) {
    storage.setItem("ledger.draft.1.odd", text);
    expect(readDraft("1.odd", storage)).toBeNull();
  }
  dropDrafts(storage);
  expect(Object.keys(storage)).toEqual(["other"]);
});

it("a browser without room keeps no draft, and nothing fails", () => {
  const storage = storageOf(20);
  keepDraft("1.note.7", "much more than there is room for", "", storage);
  expect(readDraft("1.note.7", storage)).toBeNull();
});
