import { describe, expect, test } from "vitest";
import { contentDisposition, parseRange } from "./download.ts";

describe("a download's name", () => {
  test.each([
    ["lora.safetensors", `filename="lora.safetensors"; filename*=UTF-8''lora.safetensors`],
    ["samples/step 10.png", `filename="step 10.png"; filename*=UTF-8''step%2010.png`],
    ["猫.png", `filename="_.png"; filename*=UTF-8''%E7%8C%AB.png`],
    ["😀", `filename="__"; filename*=UTF-8''%F0%9F%98%80`],
    ["it's (1)*.zip", `filename="it_s (1)_.zip"; filename*=UTF-8''it%27s%20%281%29%2A.zip`],
    ["", `filename=""; filename*=UTF-8''`],
  ])("is %j in both spellings, without its folder", (filename, value) => {
    expect(contentDisposition("attachment", filename)).toBe(`attachment; ${value}`);
    expect(contentDisposition("inline", filename)).toBe(`inline; ${value}`);
  });

  test.each(['a"b', "a\\b", "a;filename=x", "a\r\nSet-Cookie: x", "a\u0000b", "a%22b", "a\u007fb"])(
    "cannot leave its quotes or its header: %j",
    (filename) => {
      const [, plain, encoded] =
        contentDisposition("inline", filename).match(
          /^inline; filename="([^"]*)"; filename\*=UTF-8''(.*)$/s,
        ) ?? [];
      expect(plain).toMatch(/^[\w .()+=@-]*$/);
      expect(encoded).toMatch(/^[\w.!~%-]*$/);
      expect(decodeURIComponent(encoded ?? "")).toBe(filename);
    },
  );
});

describe("a range of a file of 100 bytes", () => {
  test.each([
    ["bytes=0-0", { offset: 0, length: 1 }],
    ["bytes=0-99", { offset: 0, length: 100 }],
    ["bytes=10-19", { offset: 10, length: 10 }],
    ["bytes=99-", { offset: 99, length: 1 }],
    ["bytes=0-", { offset: 0, length: 100 }],
    ["bytes=90-1000", { offset: 90, length: 10 }],
    ["bytes=-1", { offset: 99, length: 1 }],
    ["bytes=-100", { offset: 0, length: 100 }],
    ["bytes=-1000", { offset: 0, length: 100 }],
    [`bytes=5-${"9".repeat(400)}`, { offset: 5, length: 95 }],
  ])("is understood: %s", (header, range) => {
    expect(parseRange(header, 100)).toEqual(range);
  });

  test.each([
    undefined,
    "",
    "bytes=",
    "bytes=-",
    "bytes=20-10",
    "bytes=200-100",
    "bytes=0-1,5-6",
    "bytes=1.5-3",
    "bytes=+1-3",
    "bytes=0x0-1",
    "bytes= 0-1",
    "bytes=0-1 ",
    "bytes=0-1\n",
    "bytes=--1",
    "bytes=٠-١",
    "Bytes=0-1",
    "items=0-1",
  ])("is the whole file where it is not understood: %j", (header) => {
    expect(parseRange(header, 100)).toBeNull();
  });

  test.each(["bytes=100-", "bytes=100-200", "bytes=-0", `bytes=${"9".repeat(400)}-`])(
    "is refused with 416 where nothing lies in it: %s",
    (header) => {
      expect(() => parseRange(header, 100)).toThrow(
        expect.objectContaining({
          status: 416,
          code: "range",
          headers: { "Content-Range": "bytes */100" },
        }),
      );
    },
  );

  test.each(["bytes=0-", "bytes=0-0", "bytes=-1"])("has none of an empty file: %s", (header) => {
    expect(() => parseRange(header, 0)).toThrow(expect.objectContaining({ status: 416 }));
  });
});
