import { describe, expect, it } from "vitest";
import { decodeConfig } from "./decode.ts";

describe("decodeConfig", () => {
  it("reads UTF-8 and drops its byte order mark", () => {
    const bytes = new TextEncoder().encode("\uFEFF名 = 1\r\n");
    expect(decodeConfig(bytes)).toEqual({ text: "名 = 1\r\n", encoding: "utf-8" });
    expect(decodeConfig(new Uint8Array())).toEqual({ text: "", encoding: "utf-8" });
  });

  it("reads UTF-16 of both byte orders by its mark", () => {
    expect(decodeConfig(new Uint8Array([0xff, 0xfe, 0x61, 0, 0x0d, 0x54]))).toEqual({
      text: "a名",
      encoding: "utf-16le",
    });
    expect(decodeConfig(new Uint8Array([0xfe, 0xff, 0, 0x61]))).toEqual({
      text: "a",
      encoding: "utf-16be",
    });
  });

  it("reads what is not UTF-8 as GB18030 and says so", () => {
    const read = decodeConfig(new Uint8Array([0xd1, 0xb5, 0xc1, 0xb7]));
    expect(read).toMatchObject({ text: "训练", encoding: "gb18030" });
    expect(read?.warning).toContain("GB18030");
  });

  it("is null for binary files", () => {
    expect(decodeConfig(new Uint8Array([0x61, 0, 0x62]))).toBeNull();
    expect(decodeConfig(new Uint8Array([0xff, 0xff, 0xff]))).toBeNull();
  });
});
