import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compareWithTask, type TaskSettings } from "./mismatch.ts";
import { decodeScalar, readSafetensors, sniffMedia } from "./safetensors.ts";

type Entry = { dtype?: string; shape: number[]; bytes?: number[] };

/** A safetensors file of these tensors; data of those without bytes is zero. */
function fileOf(tensors: Record<string, Entry>, metadata?: Record<string, unknown>): Uint8Array {
  const sizes: Record<string, number> = { F16: 2, BF16: 2, F32: 4, F64: 8 };
  let end = 0;
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  const data: number[] = [];
  for (const [name, { dtype = "F16", shape, bytes }] of Object.entries(tensors)) {
    const length = shape.reduce((a, b) => a * b, 1) * (sizes[dtype] ?? 1);
    header[name] = { dtype, shape, data_offsets: [end, end + length] };
    data.push(...(bytes ?? new Array<number>(length).fill(0)));
    end += length;
  }
  return frame(JSON.stringify(header), new Uint8Array(data));
}

function frame(header: string, data: Uint8Array, length?: bigint): Uint8Array {
  const text = new TextEncoder().encode(header);
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, length ?? BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

/** Reads a file as the ledger does, and counts the bytes that were asked for. */
async function read(file: Uint8Array) {
  let asked = 0;
  const facts = await readSafetensors(async (offset, length) => {
    asked += length;
    if (offset + length > file.length) throw new Error("read beyond the file");
    return file.slice(offset, offset + length);
  }, file.length);
  return { ...facts, asked };
}

const half = (value: 4 | 16) => [0, value === 4 ? 0x44 : 0x4c];

describe("safetensors", () => {
  it("reads sd-scripts' files: rank by majority, convolutions apart, alpha in its dtype", async () => {
    const facts = await read(
      fileOf(
        {
          "lora_te_text_model_a.lora_down.weight": { shape: [8, 4] },
          "lora_unet_a.alpha": { shape: [], bytes: half(16) },
          "lora_unet_a.lora_down.weight": { shape: [32, 4] },
          "lora_unet_a.lora_up.weight": { shape: [4, 32] },
          "lora_unet_b.lora_down.weight": { shape: [32, 4, 1, 1] },
          "lora_unet_c.alpha": { shape: [], bytes: half(4) },
          "lora_unet_c.lora_down.weight": { shape: [4, 4, 3, 3] },
        },
        {
          ss_base_model_version: "sdxl_base_v1-0",
          ss_network_dim: "32",
          huggingface_token: `hf_${"a".repeat(34)}`,
        },
      ),
    );
    expect(facts).toMatchObject({
      rank: 32,
      convRank: 4,
      alpha: 16,
      algorithm: "locon",
      baseArch: "sdxl",
      tensorCount: 7,
      dtype: "F16",
      metadata: { ss_network_dim: "32", huggingface_token: "[redacted]" },
      warnings: [
        "A secret was replaced at metadata.huggingface_token.",
        "The file's modules have different ranks: 32 (2), 8 (1); the most frequent is taken.",
      ],
    });
  });

  it("prefers the stated alpha where half precision rounded it", async () => {
    // 0.1 in bf16 is 0.10009765625.
    const tensors = {
      "x.lora_down.weight": { dtype: "BF16", shape: [4, 4] },
      "x.alpha": { dtype: "BF16", shape: [], bytes: [0xcd, 0x3d] },
    };
    expect((await read(fileOf(tensors))).alpha).toBeCloseTo(0.1001, 4);
    expect((await read(fileOf(tensors, { ss_network_alpha: "0.1" }))).alpha).toBe(0.1);
  });

  it.each([
    [[0x00, 0x3c], "F16", 1],
    [[0x01, 0x00], "F16", 2 ** -24],
    [[0x00, 0xfc], "F16", Number.NEGATIVE_INFINITY],
    [[0x80, 0x3f], "BF16", 1],
    [[0, 0, 0x80, 0x41], "F32", 16],
    [[0, 0, 0, 0, 0, 0, 0x30, 0x40], "F64", 16],
    [[1], "U8", null],
  ])("reads %j as %s", (bytes, dtype, value) => {
    expect(decodeScalar(new Uint8Array(bytes), dtype)).toBe(value);
  });

  it.each([
    ["nothing", new Uint8Array(), /it has 0 bytes/],
    [
      "a header length of 2^63",
      frame("{}", new Uint8Array(), 2n ** 63n),
      /9223372036854775808 bytes/,
    ],
    [
      "a header length of 2^64-1",
      frame("{}", new Uint8Array(), 2n ** 64n - 1n),
      /more than the file/,
    ],
    ["a header longer than the file", frame("{}", new Uint8Array(), 3n), /more than the file/],
    ["other bytes", frame("PK\u0003\u0004", new Uint8Array()), /not JSON/],
    ["a list", frame("[]", new Uint8Array()), /not a JSON object/],
    [
      "a pickle by that name",
      new TextEncoder().encode("\x80\x02}q\x00X\x0b\x00"),
      /more than the file/,
    ],
  ])("takes %s for what it is, without allocating", async (_, file, warning) => {
    const facts = await read(file);
    expect(facts.warnings).toEqual([expect.stringMatching(warning)]);
    expect(facts.tensorCount).toBeNull();
    expect(facts.asked).toBeLessThanOrEqual(file.length);
  });

  it("tells of malformed entries and a file that is cut off, and keeps the rest", async () => {
    const header = {
      ok: { dtype: "F32", shape: [4], data_offsets: [0, 16] },
      negative: { dtype: "F32", shape: [-1], data_offsets: [0, 16] },
      backwards: { dtype: "F32", shape: [4], data_offsets: [16, 0] },
      text: "x",
      __proto__x: null,
    };
    const facts = await read(frame(JSON.stringify(header), new Uint8Array(4)));
    expect(facts.tensorCount).toBe(1);
    expect(facts.warnings.join()).toMatch(
      /4 entries .* malformed.*cut off.*16 bytes.*4 are there/s,
    );
  });

  it("never throws, and never reads beyond the file, whatever the bytes are", async () => {
    const entry = fc.oneof(
      fc.json().map((text) => JSON.parse(text)),
      fc.record({
        dtype: fc.constantFrom("F16", "BF16", "F32", "I8"),
        shape: fc.array(fc.integer({ min: -1, max: 9 }), { maxLength: 5 }),
        data_offsets: fc.array(fc.integer({ min: -1, max: 60 }), { maxLength: 3 }),
      }),
    );
    const name = fc.constantFrom(
      "x.alpha",
      "x.lora_down.weight",
      "x.lora_up.weight",
      "__proto__",
      "__metadata__",
      "x.lokr_w1_b",
    );
    const headers = fc.dictionary(name, entry).map((header) => JSON.stringify(header));
    const files = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc
        .tuple(
          headers,
          fc.uint8Array({ maxLength: 32 }),
          fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
        )
        .map(([header, data, length]) => frame(header, data, length ?? undefined)),
    );
    await fc.assert(
      fc.asyncProperty(files, async (file) => {
        const facts = await read(file);
        expect(facts.tensorCount === null || facts.tensorCount >= 0).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it("keeps metadata small by leaving out the largest values, by name", async () => {
    const { metadata, warnings } = await read(
      fileOf({ x: { shape: [1] } }, { ss_tag_frequency: "y".repeat(300_000), ss_steps: "10" }),
    );
    expect(metadata).toEqual({ ss_steps: "10" });
    expect(warnings).toEqual([expect.stringContaining("ss_tag_frequency")]);
  });
});

describe("the file against its task", () => {
  const file = {
    rank: 32,
    convRank: null,
    alpha: 16,
    algorithm: "lora",
    baseArch: "sdxl",
    tensorCount: 3,
    dtype: "F16",
  };
  const task: TaskSettings = {
    loraRank: 32,
    convLoraRank: null,
    loraAlpha: 16,
    networkAlgo: "lora",
    baseArch: "sdxl",
  };

  it("agrees, also where one of both is silent", () => {
    expect(compareWithTask(file, task)).toEqual([]);
    expect(compareWithTask({ ...file, rank: null, alpha: null }, task)).toEqual([]);
    expect(
      compareWithTask(file, { ...task, loraRank: null, networkAlgo: "qlora", baseArch: null }),
    ).toEqual([]);
  });

  it("names what differs", () => {
    expect(
      compareWithTask(file, {
        ...task,
        loraRank: 64,
        loraAlpha: 1,
        networkAlgo: "lokr",
        baseArch: "flux",
      }),
    ).toEqual([
      { field: "lora_rank", file: 32, task: 64 },
      { field: "lora_alpha", file: 16, task: 1 },
      { field: "network_algo", file: "lora", task: "lokr" },
      { field: "base_arch", file: "sdxl", task: "flux" },
    ]);
    expect(compareWithTask(file, { ...task, baseArch: "SDXL 1.0" })).toEqual(
      compareWithTask(file, { ...task, baseArch: "sdxl" }),
    );
  });
});

it("knows images by their bytes alone", () => {
  const bytes = (text: string) => Uint8Array.from(text, (c) => c.charCodeAt(0));
  expect(sniffMedia(bytes("\x89PNG\r\n\x1a\n\0\0\0\rIHDR"))).toBe("image/png");
  expect(sniffMedia(bytes("\xff\xd8\xff\xe0\0\x10JFIF"))).toBe("image/jpeg");
  expect(sniffMedia(bytes("RIFF\x0a\0\0\0WEBPVP8 "))).toBe("image/webp");
  expect(sniffMedia(bytes("\0\0\0\x20ftypisom"))).toBe("video/mp4");
  expect(sniffMedia(bytes("\0\0\0\x20ftypheic"))).toBeNull();
  expect(sniffMedia(bytes("<svg onload="))).toBeNull();
  expect(sniffMedia(bytes("<html><script>"))).toBeNull();
});
