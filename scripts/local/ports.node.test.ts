// Ports of the servers that tests and `npm start` begin.

import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { freePort, portBlocked } from "./processes.ts";
import { startWorker } from "./worker.ts";

const listening = async (port: number) => {
  const server = createServer((_, response) => response.writeHead(403).end("Forbidden"));
  await new Promise<void>((ready, failed) => {
    server.once("error", failed);
    server.listen(port, "127.0.0.1", ready);
  });
  return server;
};

describe("a free port", () => {
  it("is given once, is free, and is below those that the system gives by itself", async () => {
    const ports = await Promise.all(Array.from({ length: 30 }, () => freePort()));
    expect(new Set(ports).size).toBe(30);
    expect(Math.max(...ports)).toBeLessThan(32_768);
    // Another program of this machine may be quicker at a few of them.
    const taken = await Promise.allSettled(ports.map(listening));
    const servers = taken.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    for (const server of servers) server.close();
    expect(servers.length).toBeGreaterThan(25);
  });
});

describe("a blocked port", () => {
  it("is one that fetch refuses", async () => {
    const refused = async (port: number) => {
      const error: Error = await fetch(`http://127.0.0.1:${port}/`).then(
        () => new Error("it answered"),
        (cause) => cause,
      );
      return String(error.cause).includes("bad port");
    };
    const known = Array.from({ length: 65_536 }, (_, port) => port).filter(portBlocked);
    expect(known).toContain(10_080);
    for (const port of known) expect(await refused(port), `port ${port}`).toBe(true);
  });
});

describe("a worker", () => {
  it("is not ready where somebody else answers at its port", async () => {
    const port = await freePort();
    const other = await listening(port);
    const home = mkdtempSync(join(tmpdir(), "lora-ledger-port-"));
    try {
      const options = { port, databaseUrl: "http://127.0.0.1:9", jwtSecret: "s".repeat(40) };
      await expect(startWorker({ ...options, persistDir: home })).rejects.toThrow(
        "The worker ended while starting",
      );
    } finally {
      other.close();
      rmSync(home, { recursive: true, force: true });
    }
  });
});
