import { expect, test } from "vitest";
import shared from "../../test/shared/safetensors.json" with { type: "json" };
import { readSafetensors } from "./safetensors.ts";

const sizes: Record<string, number> = { F16: 2, BF16: 2, F32: 4, F64: 8, I64: 8 };

type Tensor = { dtype: string; shape: number[]; data?: number[] };

/** The file of a case, byte for byte as the client's test makes it. */
function fileOf(tensors: Record<string, Tensor>, metadata: Record<string, string>) {
  const header: Record<string, unknown> = Object.keys(metadata).length
    ? { __metadata__: metadata }
    : {};
  const data: number[] = [];
  for (const [name, { dtype, shape, data: own }] of Object.entries(tensors)) {
    const size = shape.reduce((product, n) => product * n, 1) * (sizes[dtype] ?? 1);
    header[name] = { dtype, shape, data_offsets: [data.length, data.length + size] };
    data.push(...(own ?? new Array<number>(size).fill(0)));
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + data.length);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(data, 8 + text.length);
  return file;
}

test.each(shared.cases.map((one) => [one.name, one] as const))("%s", async (_, one) => {
  const tensors: Record<string, Tensor> = one.tensors as never;
  const file = fileOf(tensors, one.metadata as never);
  const { rank, convRank, alpha, algorithm, baseArch, warnings } = await readSafetensors(
    async (offset, length) => file.slice(offset, offset + length),
    file.length,
  );
  expect({ rank, conv_rank: convRank, alpha, algorithm, base_arch: baseArch }).toEqual(one.facts);
  expect(warnings).toEqual("notes" in one ? one.notes : []);
});
