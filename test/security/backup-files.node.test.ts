// Files that are no backup, and that take a gigabyte to find that out in a reader that believes them.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readBackup } from "../../scripts/backup/format.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lora-ledger-backup-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** So many times a block of bytes, packed: a gzip file may be several, one behind the other. */
function bomb(block: Buffer, times: number, before = ""): Buffer {
  const packed = gzipSync(block);
  return Buffer.concat([gzipSync(before), ...Array.from({ length: times }, () => packed)]);
}

/** What reading the file says, and the most memory that it took meanwhile, in bytes. */
async function read(bytes: Buffer) {
  const file = join(folder, "backup.gz");
  writeFileSync(file, bytes);
  const before = process.memoryUsage().rss;
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage().rss);
  }, 5);
  let said = "nothing";
  try {
    for await (const _ of readBackup(file)) most = Math.max(most, process.memoryUsage().rss);
  } catch (error) {
    said = error instanceof Error ? error.message : String(error);
  } finally {
    clearInterval(timer);
  }
  return { said, took: most - before };
}

const head = (tables: Record<string, number>) =>
  `${JSON.stringify({ lora_ledger_backup: 1, at: "", migrations: [], tables })}\n`;

describe("a hostile backup", () => {
  it("of one endless line is refused in little memory", async () => {
    const { said, took } = await read(bomb(Buffer.alloc(1 << 20, "x"), 1500));
    expect(said).toContain("is not a whole backup: a line is longer than any row");
    expect(took).toBeLessThan(500e6);
  });

  it("of brackets alone is refused before they are parsed", async () => {
    const { said, took } = await read(bomb(Buffer.alloc(1 << 20, "["), 60));
    expect(said).toContain("a line is not what such a file holds");
    expect(took).toBeLessThan(500e6);
  });

  it("of endless rows ends where there are more than it says, or where they are too many for its size", async () => {
    const start = `${head({ user: 3 })}${JSON.stringify({ table: "user", columns: ["a"] })}\n`;
    const few = await read(gzipSync(start + "[1]\n".repeat(1000)));
    expect(few.said).toContain("it has more rows of user than it says");
    const wide = `["${"x".repeat(1 << 20)}"]\n`;
    const many = `${head({ user: 1e9 })}${JSON.stringify({ table: "user", columns: ["a"] })}\n`;
    const { said, took } = await read(bomb(Buffer.from(wide), 1750, many));
    expect(said).toContain("it unpacks to more than 300 times its size");
    expect(took).toBeLessThan(500e6);
  });
});
