import { beforeAll, describe, expect, it } from "vitest";
import { costOf, freshLedger, type Ledger } from "../../../test/harness.ts";

let ledger: Ledger;
let anna: Awaited<ReturnType<Ledger["key"]>>;
let cookie: string;

const login = async (key: string) => {
  const { sid } = await ledger.call("/api/login/api_key", {
    method: "POST",
    headers: { Authorization: key },
  });
  return `sid=${sid}`;
};

beforeAll(async () => {
  ledger = await freshLedger();
  anna = await ledger.key();
  cookie = await login(anna.key);
});

const send = (
  path: string,
  json?: unknown,
  method = json === undefined ? "GET" : "POST",
  by = cookie,
) => ledger.request(path, { method, headers: { Cookie: by }, json });
let made = 0;
async function run(name = "a run", by = cookie): Promise<string> {
  const response = await send(
    "/api/project/anna/p/experiment",
    { name, cuid: `c${++made}` },
    "POST",
    by,
  );
  expect(response.status).toBe(201);
  return ((await response.json()) as { cuid: string }).cuid;
}
const metrics = (id: string, type: string, records: unknown[], by = cookie) =>
  send(
    "/api/house/metrics",
    { type, projectId: "p", experimentId: id, metrics: records },
    "POST",
    by,
  );
const scalar = (index: number, data: unknown, key = "loss") => ({
  ...{ key, index, data },
  create_time: `2026-05-01T10:00:${String(index % 60).padStart(2, "0")}.000000Z`,
});
const task = (id: string) => ledger.call(`/api/tasks/${id}`, { key: anna.key });
const total = async (id: string) =>
  (await ledger.call(`/api/tasks/${id}/logs`, { key: anna.key })).total;

describe("what SwanLab's client logs", () => {
  it("counts once when it comes twice", async () => {
    const id = await run();
    const records = [scalar(0, 1), scalar(1, 0.5), scalar(2, "nan"), scalar(3, "inf")];
    for (const part of [records, records, records.slice(1), [...records].reverse()])
      expect((await metrics(id, "scalar", part)).status).toBe(200);
    expect(await total(id)).toBe(4);
  });

  it("keeps the console's lines once each, without secrets", async () => {
    const id = await run();
    const line = (epoch: number, message: string) => ({ epoch, message, level: "INFO" });
    await metrics(id, "log", [line(1, "one"), line(2, "hf_abcdefghijklmnopqrstuvwxyzABCDEF1234")]);
    await metrics(id, "log", [line(2, "again"), line(3, "three")]);
    expect((await task(id)).attempts[0].tail).toBe("one\n[redacted]\nthree");
  });

  it("finds its run again by project and id, and refuses what is none", async () => {
    await run("found again");
    const again = await send("/api/project/anna/p/experiment", { name: "x", cuid: `c${made}` });
    expect(again.status).toBe(200);
    expect((await send(`/api/project/anna/p/runs/c${made}`)).status).toBe(200);
    expect((await send(`/api/project/anna/other/runs/c${made}`)).status).toBe(404);
    expect((await send("/api/project/anna/p/runs/none")).status).toBe(404);
  });

  it("ends a run once, whatever is said after", async () => {
    const id = await run();
    const path = `/api/project/anna/p/runs/${id}/state`;
    expect((await send(path, { state: "CRASHED" }, "PUT")).status).toBe(200);
    expect((await send(path, { state: "FINISHED" }, "PUT")).status).toBe(200);
    expect((await task(id)).status).toBe("failed");
  });
});

describe("what is no good", () => {
  it.each([
    ["a body that is no JSON", "/api/house/metrics", "{", 400],
    ["another type", "/api/house/metrics", { type: "x", experimentId: "1", metrics: [] }, 422],
    ["no metrics", "/api/house/metrics", { type: "scalar", experimentId: "1" }, 422],
    ["a run that is no number", "/api/house/experiments/x/heartbeat", {}, 404],
    ["a run that is not there", "/api/house/experiments/999999/heartbeat", {}, 404],
    ["a name that is no text", "/api/project/anna/p/experiment", { name: 1 }, 422],
    ["paths that are none", "/api/resources/presigned/put", { experimentId: "1", paths: 1 }, 422],
  ])("%s is refused in SwanLab's form", async (_, path, body, status) => {
    const response = await ledger.request(path, {
      method: "POST",
      headers: { Cookie: cookie },
      body: typeof body === "string" ? body : JSON.stringify(body),
    });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ message: expect.any(String) });
  });

  it("a key for the token, the token for a key, and the token of a revoked key", async () => {
    const bare = cookie.replace("sid=", "");
    expect((await send("/api/project/anna/p", undefined, "GET", `sid=${anna.key}`)).status).toBe(
      401,
    );
    expect((await ledger.request("/api/me", { key: bare })).status).toBe(401);
    const second = await ledger.key({ user: anna.userName });
    const by = await login(second.key);
    expect((await send("/api/project/anna/p", undefined, "GET", by)).status).toBe(200);
    await ledger.call(`/api/keys/${second.keyId}`, { key: anna.key, method: "DELETE" });
    expect((await send("/api/project/anna/p", undefined, "GET", by)).status).toBe(401);
  });

  it("an address that was made for another file", async () => {
    const id = await run();
    const { urls } = await (
      await send("/api/resources/presigned/put", { experimentId: id, paths: ["a/../b.png"] })
    ).json<{ urls: string[] }>();
    const url = new URL(urls[0] ?? "");
    expect(url.pathname).toMatch(/swanlab%2Fa%2Fb\.png$/);
    const put = (path: string) =>
      ledger.request(path, { method: "PUT", body: "x", headers: { "Content-Length": "1" } });
    expect((await put(url.pathname.replace("b.png", "c.png"))).status).toBe(403);
    expect((await put(url.pathname.replace(`/${id}/`, "/1/"))).status).toBe(id === "1" ? 200 : 403);
    expect((await put(url.pathname)).status).toBe(200);
  });
});

it("a run handed down with the key is the only one that the token reaches, and keeps its console and its end", async () => {
  const { task_id } = await ledger.call("/api/tasks", { key: anna.key, json: {} });
  const other = await run();
  const by = await login(`${anna.key}.run${task_id}`);
  const opened = await send("/api/project/anna/p/experiment", { name: "x" }, "POST", by);
  expect(await opened.json()).toMatchObject({ cuid: String(task_id) });
  const id = String(task_id);
  expect((await metrics(id, "scalar", [scalar(1, 1)], by)).status).toBe(200);
  expect((await metrics(id, "log", [{ epoch: 1, message: "x" }], by)).status).toBe(200);
  expect((await metrics(other, "scalar", [scalar(1, 1)], by)).status).toBe(404);
  const path = `/api/project/anna/p/runs/${id}/state`;
  expect((await send(path, { state: "FINISHED" }, "PUT", by)).status).toBe(200);
  expect(await task(id)).toMatchObject({ status: "running", attempts: [{ tail: null }] });
  expect(await total(id)).toBe(1);
});

it("costs what docs/trackers.md says", async () => {
  const id = await run();
  const batch = (from: number) =>
    Array.from({ length: 60 }, (_, n) => [
      scalar(from + n, 1 / (from + n + 1)),
      scalar(from + n, n, "acc"),
    ]).flat();
  await metrics(id, "scalar", batch(0));
  for (let n = 1; n < 8; n++) {
    const { trips, read, written } = costOf(await metrics(id, "scalar", batch(n * 60)));
    expect({ trips, over: Math.max(0, read - 12) + Math.max(0, written - 5) }).toEqual({
      trips: 1,
      over: 0,
    });
    const lines = [{ epoch: n, message: "a line" }];
    const { trips: three, read: rows, written: wrote } = costOf(await metrics(id, "log", lines));
    expect({ three, over: Math.max(0, rows - 16) + Math.max(0, wrote - 6) }).toEqual({
      three: 3,
      over: 0,
    });
  }
});
