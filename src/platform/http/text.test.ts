import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cleanText, cleanValue, cutText, hasControls, isUnclean, parseClean } from "./text.ts";

const anyText = fc.string({
  unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)),
});

describe("clean text", () => {
  test.each([
    ["", ""],
    ["plain, 日本語, 😀", "plain, 日本語, 😀"],
    ["tab\tand\r\nline ends", "tab\tand\r\nline ends"],
    ["a\u0000b", "a\ufffdb"],
    ["\u001b[31mred", "\ufffd[31mred"],
    ["\b\f\u007f\u0085\u009f", "\ufffd".repeat(5)],
    ["half \ud83d of one", "half \ufffd of one"],
    ["\ude00", "\ufffd"],
    ["\ufffe\uffff", "\ufffd\ufffd"],
    ["\u00a0\u200b\u202e", "\u00a0\u200b\u202e"],
  ])("of %j is %j", (text, clean) => {
    expect(cleanText(text)).toBe(clean);
  });

  test("is well-formed, has its length, and stays as it is when cleaned again", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const clean = cleanText(text);
        expect(clean.isWellFormed()).toBe(true);
        expect(clean.length).toBe(text.length);
        expect(cleanText(clean)).toBe(clean);
      }),
    );
  });

  test("reaches every name and text of a value, and nothing else", () => {
    const value = { "a\u0000": ["\u0001", 1, null, true, { b: "\u0002" }] };
    expect(cleanValue(value)).toEqual({ "a\ufffd": ["\ufffd", 1, null, true, { b: "\ufffd" }] });
  });
});

describe("a JSON text", () => {
  test("that cleaning changes is known before it is parsed", () => {
    fc.assert(
      fc.property(fc.dictionary(anyText, fc.oneof(anyText, fc.integer())), (value) => {
        for (const json of [JSON.stringify(value), escaped(JSON.stringify(value))]) {
          const parsed = JSON.parse(json);
          if (JSON.stringify(cleanValue(parsed)) !== JSON.stringify(parsed))
            expect(isUnclean(json)).toBe(true);
        }
      }),
    );
  });

  test("is parsed with clean texts, but for those of files", () => {
    const text = "a\u0000\ud83d";
    const body = { name: text, config: { text, name: text }, dataset_file: { text } };
    expect(parseClean(JSON.stringify(body))).toEqual({
      name: "a\ufffd\ufffd",
      config: { text: "a\u0000\ufffd", name: "a\ufffd\ufffd" },
      dataset_file: { text: "a\u0000\ufffd" },
    });
  });

  test.each(['{"config":"\\u0000"}', '{"config":null,"a":"\\u0000"}', '["\\u0000"]', '"\\u0000"'])(
    "with no file where one may be is cleaned all the same: %s",
    (json) => expect(JSON.stringify(parseClean(json))).not.toContain("\\u0000"),
  );

  test.each(["", "{", "{'a': 1}", "[1,]", "NaN", "undefined", "\u0000"])(
    "that is none throws SyntaxError: %j",
    (json) => expect(() => parseClean(json)).toThrow(SyntaxError),
  );
});

/** The same JSON text with every character of its strings escaped that may be. */
const escaped = (json: string) =>
  json.replace(
    /[^ -~]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`,
  );

describe("a cut of a text", () => {
  test.each([
    ["😀b", 1, undefined, "b"],
    ["a😀", 0, 2, "a"],
    ["a😀", 0, 3, "a😀"],
    ["abc", 1, 2, "b"],
    ["", 0, 5, ""],
  ])("of %j from %j to %j is %j", (text, from, to, cut) => {
    expect(cutText(text, from, to)).toBe(cut);
  });
  test("leaves no half of a character", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.nat(20), fc.nat(20), (text, from, to) => {
        expect(cutText(text, from, to).isWellFormed()).toBe(true);
      }),
    );
  });
});

describe("an address", () => {
  test.each([
    "%00",
    "%1f",
    "%1B",
    "%7f",
    "%7F",
    "%c2%85",
    "%C2%9F",
    "%ef%bf%be",
    "%EF%BF%BF",
    "%08",
  ])("with %s holds a control character", (code) =>
    expect(hasControls(`http://a/b?c=${code}`)).toBe(true),
  );
  test.each(["%09", "%0a", "%0D", "%20", "%c2%a0", "%ef%bf%bd", "%", "%zz", "%2500", "日"])(
    "with %s holds none",
    (code) => expect(hasControls(`http://a/b?c=${code}`)).toBe(false),
  );
});
