import { sql } from "drizzle-orm";
import { beforeAll, expect, it } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { lora, upload } from "../../test/uploads.ts";

let ledger: Ledger;
let anna: string;
let task: number;
beforeAll(async () => {
  ledger = await freshLedger();
  ({ key: anna } = await ledger.key({ user: "anna" }));
  const json = { task_name: "a run" };
  task = (await ledger.call("/api/tasks", { key: anna, json })).task_id;
});

const bytes = new Uint8Array([...new TextEncoder().encode("gzipped, for all the service knows")]);
const console = { filename: "console.log.gz", kind: "state" };

it("a console's log comes through the service, so that a page may read it", async () => {
  const { id } = await upload(ledger, anna, task, bytes, console);
  const { key: viewer } = await ledger.key({ user: "vera", role: "viewer" });
  const response = await ledger.request(`/api/weights/${id}/console`, { key: viewer });
  expect(response.status).toBe(200);
  expect(response.headers.get("Content-Type")).toBe("application/gzip");
  expect(response.headers.get("Content-Security-Policy")).toContain("sandbox");
  expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
  // A log beyond what the service hands on is downloaded instead.
  await ledger.db.run(sql`update weight set size = 64000001 where id = ${id}`);
  await ledger.call(`/api/weights/${id}/console`, { key: anna }, 413);
});

it("no other file does, nor one that is not whole, deleted or without the right", async () => {
  const other = await upload(ledger, anna, task, lora());
  const named = await upload(ledger, anna, task, lora(), { ...console, kind: "final" });
  for (const id of [other.id, named.id, 999_999, "x"])
    await ledger.call(`/api/weights/${id}/console`, { key: anna }, id === "x" ? 422 : 404);
  const announced = await ledger.call(`/api/tasks/${task}/weights`, {
    key: anna,
    json: { ...console, size: 3, sha256: "0".repeat(64) },
  });
  await ledger.call(`/api/weights/${announced.weight_id}/console`, { key: anna }, 409);
  const { key: narrow } = await ledger.key({ user: "anna", scopes: ["tasks:read"] });
  await ledger.call(`/api/weights/${announced.weight_id}/console`, { key: narrow }, 403);
  const gone = await upload(ledger, anna, task, new Uint8Array([1, 2, 3]), console);
  await ledger.request(`/api/weights/${gone.id}`, { key: anna, method: "DELETE" });
  await ledger.call(`/api/weights/${gone.id}/console`, { key: anna }, 404);
});
