/**
 * `npm run verify-storage`: compares the bucket with the database, page by page, and names what does
 * not fit together. Exit code 1 when something does not. Asks the ledger at LEDGER_URL with the
 * admin's key in LEDGER_KEY; without them, the local one.
 */
import { existsSync, readFileSync } from "node:fs";
import { z } from "zod";
import { at } from "./local/home.ts";
import { Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

const page = z.object({
  objects: z.number(),
  rows: z.number(),
  items: z.array(
    z.object({
      object_key: z.string(),
      fault: z.string(),
      size: z.number(),
      weights: z.array(z.number()),
    }),
  ),
  next_cursor: z.string().nullable(),
});

const words: Record<string, string> = {
  no_object: "is missing in the bucket",
  no_row: "has no row in the database",
  size_differs: "has another size than its row says",
};

/** Looks through all of the storage; how many faults there are. Throws Trouble. */
export async function verifyStorage(url: string, key: string, say: (line: string) => void) {
  let faults = 0;
  let objects = 0;
  let cursor: string | null = "";
  while (cursor !== null) {
    const query: string = cursor && `?cursor=${encodeURIComponent(cursor)}`;
    const response = await fetch(`${url}/api/storage/check${query}`, {
      headers: { Authorization: `Bearer ${key}` },
    }).catch((error) => {
      throw new Trouble(`The ledger at ${url} did not answer: ${error.message}`);
    });
    const text = await response.text();
    if (!response.ok) throw new Trouble(`The ledger answered ${response.status}: ${text}`);
    const found = page.parse(JSON.parse(text));
    objects += found.objects;
    for (const { object_key, fault, size, weights } of found.items) {
      const whose = weights.length ? `, of weight ${weights.join(", ")}` : "";
      say(`${object_key} ${words[fault] ?? fault} (${size} bytes${whose})`);
      faults++;
    }
    cursor = found.next_cursor;
  }
  say(`${objects} objects looked at, ${faults} faults`);
  return faults;
}

if (isMain(import.meta.url))
  await main(async () => {
    const url = process.env.LEDGER_URL ?? `http://localhost:${process.env.PORT ?? 8787}`;
    const local = process.env.LEDGER_URL ? "" : at("key");
    const stored = local && existsSync(local) ? readFileSync(local, "utf8").trim() : undefined;
    const key = process.env.LEDGER_KEY ?? stored;
    if (!key) throw new Trouble("Set LEDGER_KEY to an admin's key.");
    if (await verifyStorage(url.replace(/\/+$/, ""), key, console.log)) process.exitCode = 1;
  });
