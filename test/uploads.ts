// Files for tests inside workerd: a small real LoRA, an image, and the whole way up.
import type { Ledger } from "./harness.ts";

const bytesOf = (text: string) => new Uint8Array(new TextEncoder().encode(text));

/** A small LoRA file: rank 4, alpha 2, SDXL. `salt` makes it another file. */
export function lora(salt: string = crypto.randomUUID()): Uint8Array<ArrayBuffer> {
  const header = JSON.stringify({
    __metadata__: { ss_base_model_version: "sdxl_base_v1-0", salt },
    "unet_a.alpha": { dtype: "F32", shape: [], data_offsets: [0, 4] },
    "unet_a.lora_down.weight": { dtype: "F32", shape: [4, 2], data_offsets: [4, 36] },
  });
  const file = new Uint8Array(8 + header.length + 36);
  const data = new DataView(file.buffer);
  data.setBigUint64(0, BigInt(header.length), true);
  file.set(bytesOf(header), 8);
  data.setFloat32(8 + header.length, 2, true);
  return file;
}

/** The first bytes of a PNG, and something that makes it another file. */
export const png = (salt: string = crypto.randomUUID()) =>
  new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, ...bytesOf(salt)]);

const hexOf = (buffer: ArrayBuffer) =>
  Array.from(new Uint8Array(buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** Uploads a file for a task and gives the complete weight. */
export async function upload(
  ledger: Pick<Ledger, "call" | "request">,
  key: string,
  task: number,
  file: Uint8Array<ArrayBuffer>,
  fields: Record<string, unknown> = {},
): Promise<{ id: number; sha256: string; size: number; verified: string }> {
  const { weight_id, upload: target } = await ledger.call(`/api/tasks/${task}/weights`, {
    key,
    json: {
      filename: "aki.safetensors",
      kind: "final",
      size: file.length,
      sha256: hexOf(await crypto.subtle.digest("SHA-256", file)),
      ...fields,
    },
  });
  if (!target) return ledger.call(`/api/weights/${weight_id}`, { key });
  const put = await ledger.request(target.url, {
    method: "PUT",
    body: file,
    headers: { "Content-Length": String(file.length), ...target.headers },
  });
  if (put.status !== 200) throw new Error(`PUT: ${put.status} ${await put.text()}`);
  return ledger.call(`/api/weights/${weight_id}/complete`, { key, json: {} });
}
