// The bytes of weights out of an S3 storage, where it and the network behave badly.
import { randomBytes } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it } from "vitest";
import { s3Bucket } from "./objects.ts";

/** What `read` gives of a storage that answers so; it must end by itself. */
async function readFrom(answer: RequestListener, patienceMs = 0) {
  const server = createServer(answer);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  try {
    const { port } = server.address() as AddressInfo;
    const base = `http://127.0.0.1:${port}/weights`;
    const bucket = s3Bucket({ base, accessKeyId: "a", secretAccessKey: "b", region: "auto" });
    const body = await bucket.read("w/1/1");
    await sleep(patienceMs);
    const chunks: Uint8Array[] = [];
    for await (const chunk of body ?? []) chunks.push(chunk);
    return body && Buffer.concat(chunks);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe("reading a file for a backup", () => {
  it("gives every byte where the storage closes the connection before the disk is ready", async () => {
    const bytes = randomBytes(65_536);
    const read = await readFrom((_, response) => {
      response.writeHead(200, { Connection: "close", "Content-Length": bytes.length }).end(bytes);
    }, 300);
    expect(read?.equals(bytes)).toBe(true);
  });

  it("asks a busy storage again, and says what it answered where that does not help", async () => {
    let asked = 0;
    const read = await readFrom((_, response) => {
      response.writeHead(++asked < 2 ? 503 : 200).end("bytes");
    });
    expect([asked, String(read)]).toEqual([2, "bytes"]);
    const refuse: RequestListener = (_, response) => void response.writeHead(403).end();
    await expect(readFrom(refuse)).rejects.toThrow("The file storage answered 403 to w/1/1.");
  });

  it("gives null where there is no such file", async () => {
    expect(await readFrom((_, response) => void response.writeHead(404).end())).toBe(null);
  });

  it("fails where the connection breaks in the middle", async () => {
    const breaks: RequestListener = (_, response) => {
      response.writeHead(200, { "Content-Length": 1_000_000 });
      response.write(Buffer.alloc(1000), () => response.destroy());
    };
    await expect(readFrom(breaks)).rejects.toThrow();
  });
});
