import { sql } from "drizzle-orm";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { freshLedger, type Ledger } from "../../test/harness.ts";
import { csvCell } from "./export-formats.ts";

let ledger: Ledger;
let member: Awaited<ReturnType<Ledger["key"]>>;

/** Reads CSV as RFC 4180 says, character by character. */
function readCsv(text: string): Record<string, string>[] {
  const rows: string[][] = [[]];
  let cell = "";
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quoted) {
      if (c !== '"') cell += c;
      else if (text[i + 1] === '"') cell += text[++i];
      else quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === "," || c === "\r") {
      rows.at(-1)?.push(cell);
      cell = "";
      if (c === "\r") {
        if (text[++i] !== "\n") throw new Error("a line ends in CR alone");
        rows.push([]);
      }
    } else if (c === "\n") throw new Error("a line ends in LF alone");
    else cell += c;
  }
  const [head = [], ...lines] = rows.slice(0, -1);
  return lines.map((line) => {
    if (line.length !== head.length) throw new Error(`${line.length} cells, not ${head.length}`);
    return Object.fromEntries(head.map((name, n) => [name, line[n] ?? ""]));
  });
}

const textOf = async (response: Response) => new TextDecoder().decode(await response.arrayBuffer());

const readJsonLines = (text: string) =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));

async function send(query: Record<string, string>, key = member.key) {
  const response = await ledger.request(`/api/tasks/export?${new URLSearchParams(query)}`, { key });
  if (response.status !== 200)
    throw new Error(`${response.status} instead of 200: ${await response.text()}`);
  return response;
}

const refused = (query: Record<string, string>, status = 422, key = member.key) =>
  ledger.call(`/api/tasks/export?${new URLSearchParams(query)}`, { key }, status);

beforeAll(async () => {
  ledger = await freshLedger();
  member = await ledger.key();
});

const odd = {
  task_name: '=HYPERLINK("http://x";"y")',
  model_type: "llm",
  notes: 'two\r\nlines, a "quote" and 中文',
  experiment_group: "+1",
  base_model_path: "-x",
  data_dir: "@sum(a1)",
  lora_rank: 8,
  lora_alpha: -0.5,
  learning_rate: 0.1 + 0.2,
  tags: { kind: "style", "a,b": '"' },
  command: ["python", "train.py"],
  seed: 9007199254740991,
  config: { text: 'a = [1, 2]\n[b]\nc = true\nd = "x,y"\n', format: "toml", path: "x.toml" },
};

describe("one task's row", () => {
  let id: number;
  beforeAll(async () => {
    const made = await ledger.call("/api/tasks", { key: member.key, json: odd });
    id = made.task_id;
    const heartbeat = { seq: 1, logs: [{ step: 1, metrics: { loss: 1 / 3, odd: "NaN" } }] };
    await ledger.call(`/api/tasks/${id}/heartbeat`, { key: member.key, json: heartbeat });
    const end = { status: "success" };
    await ledger.call(`/api/tasks/${id}/finish`, { key: member.key, json: end });
  });

  it("is whole in JSON Lines, numbers exact", async () => {
    const response = await send({ format: "jsonl", limit: "2000" });
    expect(response.headers.get("Content-Type")).toBe("application/jsonl");
    const [row] = readJsonLines(await textOf(response));
    const { config_snapshot, attempts, field_sources, ...task } = await ledger.call(
      `/api/tasks/${id}`,
      {
        key: member.key,
      },
    );
    const { user, metrics, ...exported } = row;
    expect(exported).toEqual({ ...task, config_snapshot });
    expect(attempts).toHaveLength(1);
    expect(field_sources).toEqual({});
    expect(user).toBe(member.userName);
    expect(metrics.loss).toEqual({
      ...{ best: 1 / 3, best_step: 1 },
      ...{ count: 1, nonfinite_count: 0, min: 1 / 3, max: 1 / 3, last: 1 / 3, sum: 1 / 3 },
    });
    expect(metrics.odd).toMatchObject({ nonfinite_count: 1, last: null });
  });

  it("is safe in a spreadsheet and comes out of CSV as it went in", async () => {
    const text = await (await send({ format: "csv" })).text();
    const [row] = readCsv(text);
    expect(row).toMatchObject({
      task_name: `'${odd.task_name}`,
      notes: odd.notes,
      experiment_group: "'+1",
      base_model_path: "'-x",
      data_dir: "'@sum(a1)",
      lora_alpha: "-0.5",
      learning_rate: "0.30000000000000004",
      cancel_requested: "false",
      user: member.userName,
    });
    expect(JSON.parse(row?.tags ?? "")).toEqual(odd.tags);
    expect(row).not.toHaveProperty("config_snapshot");
    const marked = await (await send({ format: "csv", bom: "true" })).arrayBuffer();
    expect(new Uint8Array(marked).slice(0, 5)).toEqual(new TextEncoder().encode("\uFEFFid"));
    for (const cell of ["=1", "+1", "-1", "@a", "\ta", "\ra"])
      expect(csvCell(cell, "text").replace(/^"/, "")[0]).toBe("'");
    expect([csvCell(-1, "any"), csvCell("-1", "any"), csvCell(" a", "text")]).toEqual([
      "-1",
      "'-1",
      '" a"',
    ]);
  });

  it("has the columns asked for, down into the trainer's file, metrics and tags", async () => {
    const columns = 'id,config.b.d, config.a,tags."a,b",metrics.loss.min,user,config.b.c,config.no';
    const [csv] = readCsv(await (await send({ format: "csv", columns })).text());
    expect(csv).toEqual({
      id: String(id),
      "config.b.d": "x,y",
      "config.a": "[1,2]",
      'tags."a,b"': '"',
      "metrics.loss.min": String(1 / 3),
      user: member.userName,
      "config.b.c": "1",
      "config.no": "",
    });
    const [json] = readJsonLines(await textOf(await send({ format: "jsonl", columns })));
    expect(json).toMatchObject({ "config.a": [1, 2], "config.b.c": true, "config.no": null });
  });

  it("is read back from Parquet with its types", async () => {
    const response = await send({ format: "parquet" });
    const file = await response.arrayBuffer();
    expect(parquetMetadata(file).num_rows).toBe(1n);
    const [row] = await parquetReadObjects({ file });
    const task = await ledger.call(`/api/tasks/${id}`, { key: member.key });
    expect(row).toMatchObject({
      id: BigInt(id),
      task_name: odd.task_name,
      notes: odd.notes,
      lora_rank: 8n,
      lora_alpha: -0.5,
      learning_rate: 0.1 + 0.2,
      seed: 9007199254740991n,
      created_at: new Date(task.created_at),
      cancel_requested: false,
      deleted_at: null,
    });
    expect(JSON.parse(row?.tags)).toEqual(odd.tags);
    expect(JSON.parse(row?.config_snapshot)).toEqual(task.config_snapshot);
    expect(JSON.parse(row?.metrics).loss.last).toBe(1 / 3);
  });
});

describe("many tasks", () => {
  const MANY = 1234;
  let many: Ledger;
  beforeAll(async () => {
    many = await freshLedger();
    const owner = await many.key();
    await many.db.run(sql`
      insert into training_task (user_id, task_name, lora_rank, final_loss, registration_key, registration_hash)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${MANY})
      select ${owner.userId}, 'run ' || i, i % 7 + 1, case when i % 3 then i % 10 / 10.0 end, 'k' || i, '' from n`);
    ledger = many;
    member = owner;
  });

  const ids = (text: string) => readJsonLines(text).map(({ id }) => id);

  it("goes on with a cursor, in any order, each task once", async () => {
    const query = {
      ...{ format: "jsonl", columns: "id,final_loss", filter: "lora_rank in (1, 2, 3)" },
      order_by: "-final_loss,task_name",
    };
    const whole = await send({ ...query, limit: "5000" });
    expect(whole.headers.get("X-Next-Cursor")).toBeNull();
    const all = ids(await textOf(whole));
    expect(new Set(all).size).toBe(all.length);
    const listed = await many.call(
      `/api/tasks?${new URLSearchParams({ ...query, limit: "200" })}`.replace(
        "format=jsonl&columns=id%2Cfinal_loss&",
        "",
      ),
      { key: member.key },
    );
    expect(all.slice(0, 200)).toEqual(listed.items.map(({ id }: { id: number }) => id));
    let parts: number[] = [];
    let cursor: string | null = "";
    for (let calls = 0; cursor !== null; calls++) {
      expect(calls).toBeLessThan(10);
      const part = await send({ ...query, limit: "100", ...(cursor && { cursor }) });
      parts = [...parts, ...ids(await textOf(part))];
      cursor = part.headers.get("X-Next-Cursor");
      const link = part.headers.get("Link");
      expect(link === null).toBe(cursor === null);
      if (link) expect(link).toContain(`cursor=${cursor}`);
    }
    expect(parts).toEqual(all);
  });

  it("makes a Parquet file of several row groups", async () => {
    const file = await (
      await send({ format: "parquet", columns: "id,final_loss", limit: "2000" })
    ).arrayBuffer();
    expect(parquetMetadata(file).row_groups).toHaveLength(3);
    const rows = await parquetReadObjects({ file });
    expect(rows).toHaveLength(MANY);
    expect(rows.map(({ id }) => Number(id))).toEqual([...rows.keys()].map((n) => MANY - n));
  });

  it("of no task at all is a header line, nothing, and a readable Parquet file", async () => {
    const none = { filter: "lora_rank = 99", columns: "id,user" };
    expect(await (await send({ ...none, format: "csv" })).text()).toBe("id,user\r\n");
    expect(await textOf(await send({ ...none, format: "jsonl" }))).toBe("");
    const file = await (await send({ ...none, format: "parquet" })).arrayBuffer();
    expect(await parquetReadObjects({ file })).toEqual([]);
  });

  it("stops reading the database when the client goes away", async () => {
    const fetched = vi.spyOn(globalThis, "fetch");
    try {
      const whole = await send({ format: "jsonl", limit: "2000" });
      await textOf(whole);
      const atMost = fetched.mock.calls.length;
      fetched.mockClear();
      const response = await send({ format: "jsonl", limit: "2000" });
      const reader = response.body?.getReader();
      await reader?.read();
      await reader?.cancel();
      const after = fetched.mock.calls.length;
      expect(after).toBeLessThan(atMost);
      await new Promise((done) => setTimeout(done, 200));
      expect(fetched.mock.calls.length).toBe(after);
    } finally {
      fetched.mockRestore();
    }
  });

  it("asks for pages that the database can answer when rows are large", async () => {
    const large = await freshLedger();
    const { key } = await large.key();
    for (let n = 0; n < 7; n++)
      await large.call("/api/tasks", { key, json: { task_name: `${n}` } });
    // Rows of before they had a bound.
    const big = JSON.stringify({ big: "é".repeat(900_000) });
    await large.db.run(sql`update training_task set additional_args = ${big}`);
    const fetched = vi.spyOn(globalThis, "fetch");
    try {
      const response = await large.request("/api/tasks/export?format=jsonl", { key });
      expect(readJsonLines(await textOf(response))).toHaveLength(7);
      // The plan, then a page for each: 1.8 MB a row.
      expect(fetched.mock.calls.length).toBeGreaterThanOrEqual(8);
    } finally {
      fetched.mockRestore();
    }
  });

  it("refuses what is not right", async () => {
    expect(await refused({ columns: "id,nothing_such" })).toMatchObject({
      errors: [{ path: "columns" }],
    });
    expect(await refused({ columns: "config" })).toMatchObject({ errors: [{ path: "columns" }] });
    await refused({ columns: Array.from({ length: 201 }, (_, n) => `config.a${n}`).join() });
    await refused({ filter: "lora_rank =" });
    await refused({ cursor: "bm8" });
    await refused({ format: "xlsx" });
    await refused({ limit: "20001" });
    const part = await send({ limit: "5" });
    await textOf(part);
    const cursor = part.headers.get("X-Next-Cursor") ?? "";
    await refused({ cursor, filter: "lora_rank = 1" });
    const box = await many.key({ scopes: ["box"] });
    await refused({}, 403, box.key);
    const viewer = await many.key({ role: "viewer" });
    expect(readCsv(await (await send({ limit: "5", cursor }, viewer.key)).text())).toHaveLength(5);
  });
});
