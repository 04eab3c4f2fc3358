import { expect, it } from "vitest";
import { safeAddress } from "./markdown.tsx";

it.each([
  ["https://example.com/a?b=1", "https://example.com/a?b=1"],
  ["HTTP://example.com", "HTTP://example.com"],
  ["mailto:a@example.com", "mailto:a@example.com"],
  ["/runs/1", "/runs/1"],
  ["#top", "#top"],
  ["ht\ntps://example.com", "https://example.com"],
])("a note's link to %j may be followed", (href, address) => {
  expect(safeAddress(href)).toBe(address);
});

it.each([
  ...[
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
  ],
  ...["\u0001javascript:alert(1)", "data:text/html,x", "vbscript:x", "blob:https://x", "file:///x"],
  ...["//evil.example", "/\\evil.example", "/\t/evil.example", "https:evil", "evil.example", ""],
  ...["&#106;avascript:alert(1)", "javascript&colon;alert(1)", "\\\\evil.example"],
])("a note's link to %j leads nowhere", (href) => {
  expect(safeAddress(href)).toBeNull();
});
