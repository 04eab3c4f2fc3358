import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { at } from "../local/home.ts";
import { startEmulation } from "../local/miniflare.ts";
import { root, Trouble } from "../local/processes.ts";
import { askSocket } from "../local/socket.ts";
import { type Bucket, PART } from "./objects.ts";

/** The R2 emulation below `.local/`, or another folder that keeps such state. */
export async function localBucket(state = at("worker/state"), part = PART): Promise<Bucket> {
  const { entry, stop } = await startEmulation({
    config: join(root, "wrangler.toml"),
    state,
    bucketAlone: true,
    modules: () => ({
      "worker.js": readFileSync(join(import.meta.dirname, "bucket-worker.js"), "utf8"),
    }),
  });
  /** One request of the Worker that has the bucket; null where it answers 404. */
  async function ask(method: string, path: string, body?: ArrayBuffer | string) {
    const bytes = body === undefined ? undefined : Buffer.from(body as ArrayBuffer);
    const answer = await new Promise<IncomingMessage>((answered, failed) => {
      const headers = bytes ? { "Content-Length": bytes.length } : {};
      askSocket(entry, { method, path: `/${path}`, headers }, answered)
        .on("error", failed)
        .end(bytes);
    });
    if (answer.statusCode === 200) return answer;
    answer.resume();
    if (answer.statusCode === 404) return null;
    throw new Trouble(`The local file storage answered ${answer.statusCode} to ${path}.`);
  }
  /** The same where only the answer's text counts. */
  async function say(...args: Parameters<typeof ask>): Promise<string> {
    let text = "";
    for await (const chunk of (await ask(...args)) ?? []) text += chunk;
    return text;
  }
  return {
    part,
    async size(key) {
      const answer = await ask("HEAD", key);
      answer?.resume();
      return answer ? Number(answer.headers["x-size"]) : null;
    },
    read: (key) => ask("GET", key),
    async write(key, parts, size) {
      if (size <= part) {
        for await (const bytes of parts) await say("PUT", key, bytes);
        return;
      }
      const upload = encodeURIComponent(await say("POST", `${key}?uploads`));
      const done: string[] = [];
      for await (const bytes of parts)
        done.push(await say("PUT", `${key}?upload=${upload}&part=${done.length + 1}`, bytes));
      await say("POST", `${key}?upload=${upload}`, `[${done.join(",")}]`);
    },
    close: stop,
  };
}
