// MLflow's search: each comparator of its filter, its orders, and its pages.
import { beforeAll, describe, expect, it } from "vitest";
import { freshLedger, trackingOf } from "../../../test/trackers/mlflow.ts";

let mlflow: ReturnType<typeof trackingOf>;
let experiment: string;
let other: string;
/** Names of runs by their ids. */
const names = new Map<string, string>();

beforeAll(async () => {
  const ledger = await freshLedger();
  const { key } = await ledger.key();
  mlflow = trackingOf(ledger, key);
  experiment = await mlflow.experiment("search");
  other = await mlflow.experiment("other");
  const make = async (
    name: string,
    start_time: number,
    { loss, params = {}, tags = {} }: { loss?: unknown; params?: object; tags?: object },
  ) => {
    const id = await mlflow.begin(experiment, {
      run_name: name,
      start_time,
      user_id: `user of ${name}`,
    });
    names.set(id, name);
    const pairs = (of: object) => Object.entries(of).map(([key, value]) => ({ key, value }));
    await mlflow.post("runs/log-batch", {
      run_id: id,
      metrics: loss === undefined ? [] : [{ key: "loss", value: loss, step: 1, timestamp: 5 }],
      params: pairs(params),
      tags: pairs(tags),
    });
    return id;
  };
  const a = await make("a", 1000, {
    loss: 0.5,
    params: { lr: "0.1", "a.b/c d": "x" },
    tags: { kind: "Style", "odd key": "100%" },
  });
  await make("b", 3000, { loss: 0.25, params: { lr: "0.01" }, tags: { kind: "style" } });
  await make("c", 2000, { loss: "NaN", params: { lr: "0.1" } });
  await make("d", 4000, { tags: { kind: "face" } });
  await make("e", 5000, { loss: "Infinity" });
  await make("f", 6000, { loss: "-Infinity", params: { lr: "it's" } });
  await mlflow.post("runs/log-inputs", {
    run_id: a,
    datasets: [
      {
        tags: [{ key: "mlflow.data.context", value: "training" }],
        dataset: { name: "faces", digest: "abc", source_type: "local", source: "{}" },
      },
    ],
  });
  await mlflow.post("runs/update", { run_id: a, status: "FINISHED", end_time: 9000 });
  const elsewhere = await mlflow.begin(other, { run_name: "elsewhere" });
  names.set(elsewhere, "elsewhere");
});

const found = async (filter: string, order_by = ["attribute.run_name"]) =>
  (await mlflow.search([experiment], { filter, order_by })).runs
    .map((run: { info: { run_id: string } }) => names.get(run.info.run_id))
    .join("");

describe("filter", () => {
  it.each([
    ["metrics.loss > 0.25", "ae"],
    ["metrics.loss >= 0.25", "abe"],
    ["metric.loss = 0.25", "b"],
    ["metrics.loss != 0.25", "acef"],
    ["metrics.loss < 0.5", "bf"],
    ["metrics.loss <= 5e-1", "abf"],
    ["metrics.`loss` < -1", "f"],
    ["metrics.none > 0", ""],
    ["params.lr = '0.1'", "ac"],
    ["parameter.lr != '0.1'", "bf"],
    ["param.lr LIKE '0.%'", "abc"],
    ["params.lr like '0.0_'", "b"],
    ['params.lr = "it\'s"', "f"],
    ["params.lr = 'it''s'", "f"],
    ["params.`a.b/c d` = 'x'", "a"],
    ['params."a.b/c d" ILIKE "X"', "a"],
    ["params.lr IS NULL", "de"],
    ["params.lr is not null", "abcf"],
    ["tags.kind = 'style'", "b"],
    ["tag.kind ILIKE 'STYLE'", "ab"],
    ["tags.kind LIKE 'S%'", "a"],
    ["tags.kind != 'face'", "ab"],
    ["tags.`odd key` = '100%'", "a"],
    ["tags.`odd key` LIKE '%[*?]%'", ""],
    ["tags.mlflow.runName = 'c'", "c"],
    ["tags.`mlflow.runName` IN ('x')", null],
    ["attributes.status = 'FINISHED'", "a"],
    ["status != 'FINISHED'", "bcdef"],
    ["attribute.run_name = 'd'", "d"],
    ["run_name IN ('a', 'b')", "ab"],
    ["`run name` NOT IN ('a', 'b')", "cdef"],
    ["attributes.user_id LIKE 'user of e'", "e"],
    ["start_time > 3000", "def"],
    ["attributes.start_time <= 3000", "abc"],
    ["created = 2000", "c"],
    ["end_time = 9000", "a"],
    ["attributes.end_time != 1", "a"],
    ["dataset.name = 'faces'", "a"],
    ["datasets.digest LIKE 'a%'", "a"],
    ["dataset.context IN ('training', 'eval')", "a"],
    ["dataset.context = 'eval'", ""],
    ["metrics.loss > 0 AND params.lr = '0.1' and tags.kind = 'Style'", "a"],
    ["", "abcdef"],
  ])("%s", async (filter, expected) => {
    if (expected === null)
      expect(
        await mlflow.refusal("runs/search", { experiment_ids: [experiment], filter }),
      ).toContain("Invalid comparator 'IN'");
    else expect(await found(filter)).toBe(expected);
  });

  it("finds a run by its id", async () => {
    const [[id] = []] = names;
    expect(await found(`attributes.run_id = '${id}'`)).toBe("a");
    expect(await found(`run_id IN ('${id}', 'none')`)).toBe("a");
    expect(await found(`artifact_uri LIKE '%/${id}/artifacts'`)).toBe("a");
  });

  it.each([
    ["bad", "Invalid clause(s) in filter string: 'bad'"],
    ["metrics.loss", "Invalid clause(s)"],
    ["metrics.loss > 'x'", "Expected numeric value type for metric. Found 'x'"],
    ["metrics.loss > NaN", "Expected numeric value type for metric. Found NaN"],
    ["metrics.loss LIKE '1'", "Invalid comparator 'LIKE'"],
    [
      "params.lr = 3",
      "Expected a quoted string value for parameter (e.g. 'my-value'). Got value 3",
    ],
    ["params.lr = x", "Use either single or double quotes."],
    ["tags.kind > 'x'", "Invalid comparator '>'"],
    ["attributes.foo = 'x'", "Invalid attribute key 'foo' specified."],
    ["things.x = 'y'", "Invalid entity type 'things'"],
    ["run_name IN 'a'", "Expected a list"],
    ["run_name IN ()", "Invalid clause(s)"],
    ["run_name IN ('a' 'b')", "Invalid clause(s)"],
    ["metrics.loss < 1 OR 1 = 1", "Invalid clause(s) in filter string: 'OR'"],
    ["tags.kind = 'x", "Invalid clause(s)"],
    ["dataset.path = 'x'", "Invalid dataset key 'path'"],
    [`tags.kind LIKE '${"%x".repeat(20)}'`, "wildcards"],
    [Array.from({ length: 60 }, () => "metrics.a > 1").join(" AND "), "more than 50 comparisons"],
    ["'); drop table training_task; --", "Invalid clause(s)"],
  ])("refuses %s", async (filter, message) => {
    const refusal = await mlflow.refusal("runs/search", { experiment_ids: [experiment], filter });
    expect(refusal).toContain("INVALID_PARAMETER_VALUE: ");
    expect(refusal).toContain(message);
  });
});

describe("order", () => {
  it.each([
    [[], "fedbca"],
    [["start_time ASC"], "acbdef"],
    [["attributes.run_name DESC"], "fedcba"],
    // NaN, then what has none; among equals the newest first.
    [["metrics.loss"], "fbaecd"],
    [["metrics.loss DESC"], "eabfcd"],
    [["params.lr ASC", "metrics.`loss` DESC"], "bacfed"],
    [["tags.kind"], "adbfec"],
  ])("%j", async (order_by, expected) => {
    expect(await found("", order_by)).toBe(expected);
  });

  it.each([
    [["foo"], "Invalid attribute key 'foo'"],
    [["metrics.loss DESC NULLS"], "Could not be parsed."],
    [["metrics.loss ASC, x"], "Could not be parsed."],
    [["dataset.name"], "Invalid identifier type 'dataset'"],
    [["metrics.loss", "metric.loss DESC"], "`order_by` contains duplicate fields"],
    [[""], "Could not be parsed."],
  ])("refuses %j", async (order_by, message) => {
    expect(
      await mlflow.refusal("runs/search", { experiment_ids: [experiment], order_by }),
    ).toContain(message);
  });
});

describe("pages", () => {
  it.each([[[]], [["metrics.loss"]], [["tags.kind DESC"]]])(
    "go through all by %j",
    async (order) => {
      const whole = await found("", order);
      let token: string | undefined;
      let seen = "";
      do {
        const page = await mlflow.search([experiment], {
          order_by: order,
          max_results: 2,
          page_token: token,
        });
        expect(page.runs.length).toBeLessThanOrEqual(2);
        for (const run of page.runs) seen += names.get(run.info.run_id);
        token = page.next_page_token;
      } while (token);
      expect(seen).toBe(whole);
    },
  );

  it("refuse another search's token, none at all, and too many results", async () => {
    const { next_page_token: page_token } = await mlflow.search([experiment], { max_results: 1 });
    expect(page_token).toEqual(expect.any(String));
    for (const body of [
      { page_token, filter: "params.lr = '0.1'" },
      { page_token: "zzz" },
      { max_results: 0 },
      { max_results: 50_001 },
      { max_results: "many" },
      { run_view_type: "SOME" },
    ])
      expect(
        await mlflow.refusal("runs/search", { experiment_ids: [experiment], ...body }),
      ).toContain("INVALID_PARAMETER_VALUE");
  });

  it("show several experiments, and none where none is named", async () => {
    expect((await mlflow.search([experiment, other])).runs).toHaveLength(7);
    expect((await mlflow.search([])).runs).toHaveLength(0);
    expect((await mlflow.search(["999", "x"])).runs).toHaveLength(0);
  });
});
