import fc from "fast-check";
import { expect, test } from "vitest";
import { base64, hex } from "./encode.ts";
import { sha256Hex } from "./hash.ts";

test("base64 follows RFC 4648, section 10", () => {
  const encoded = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map((text) =>
    base64(new TextEncoder().encode(text)),
  );
  expect(encoded).toEqual(["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
});

test("base64 and hex give any bytes back", () => {
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      expect(Uint8Array.from(atob(base64(bytes)), (c) => c.charCodeAt(0))).toEqual(bytes);
      const pairs = hex(bytes).match(/../g) ?? [];
      expect(Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16))).toEqual(bytes);
    }),
  );
});

test("a view of a larger buffer is encoded alone", () => {
  const view = new Uint8Array([1, 2, 3, 255, 5]).subarray(2, 4);
  expect([base64(view), hex(view)]).toEqual(["A/8=", "03ff"]);
});

test("a hash is the one of FIPS 180, of bytes and of a text's UTF-8", async () => {
  const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  expect(await sha256Hex("abc")).toBe(abc);
  expect(await sha256Hex(new Uint8Array([97, 98, 99]))).toBe(abc);
  expect(await sha256Hex("é")).toBe(await sha256Hex(new Uint8Array([0xc3, 0xa9])));
});
