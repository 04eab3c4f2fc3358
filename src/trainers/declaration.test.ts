import { describe, expect, it } from "vitest";
import { holds, valueAt } from "./declaration.ts";
import type { Declaration } from "./declarations/form.ts";
import { isFaulty, lineOf, readDialect } from "./dialect-file.ts";
import { recognise } from "./recognise.ts";

const own: Declaration = {
  name: "mine",
  recognise: { commands: ["my_trainer fit", "pkg.fit", "deep/dir/fit.py"], keys: ["net.rank"] },
  kinds: [{ kind: "full-fine-tune", where: [{ key: "net.mode", is: ["full"] }] }],
  columns: {
    lora_rank: { keys: ["net.rank", "rank"], default: 4 },
    lora_alpha: { keys: ["net.alpha"], default_of: "lora_rank" },
    mixed_precision: { flags: { bf16: "bf16" }, launcher: "mixed_precision" },
    max_steps: { keys: ["steps"], unset: [0, -1], unless: [{ key: "epochs", given: true }] },
    epochs: { keys: ["epochs"] },
    optimizer: { keys: ["optim.class"], after: "." },
    task_name: { keys: ["out"], after: "/" },
    data_dir: { keys: ["sets[].path"] },
    network_algo: { keys: ["net.kind"], words: { "low-rank": "lora", kron: "lokr" } },
    learning_rate: {
      keys: ["lr"],
      defaults: [{ where: [{ key: "optim.class", has: "prodigy" }], value: 1 }],
      default: 1e-4,
    },
  },
};
const read = (text: string, command?: string[]) => recognise({ text, command, own: [own] });

describe("a dialect that is a table", () => {
  it("reads keys, words, lists, flags and defaults", () => {
    const { trainer, kind, fields, defaults } = read(`
      out: /runs/cat-v1/
      steps: -1
      bf16: true
      optim: {class: pkg.optim.Prodigy}
      net: {rank: 16, kind: Low-Rank}
      sets: [{path: a}, {other: b}, {path: c}]`);
    expect({ trainer, kind }).toEqual({ trainer: "mine", kind: "run" });
    expect(fields).toEqual({
      lora_rank: 16,
      lora_alpha: 16,
      mixed_precision: "bf16",
      optimizer: "Prodigy",
      task_name: "cat-v1",
      data_dir: "a, c",
      network_algo: "lora",
      learning_rate: 1,
    });
    expect(defaults.sort()).toEqual(["learning_rate", "lora_alpha"]);
  });

  it("leaves a column empty where the trainer does not use the setting", () => {
    expect(read("{net: {rank: 8}, epochs: 3, steps: 100}").fields).toMatchObject({ epochs: 3 });
    expect(read("{net: {rank: 8}, epochs: 3, steps: 100}").fields.max_steps).toBeUndefined();
    expect(read("{net: {rank: 8}, steps: 100}").fields.max_steps).toBe(100);
  });

  it("tells a full fine-tune, whose adapter's columns are empty", () => {
    const { kind, fields, warnings } = read("{net: {rank: 8, mode: Full}, lr: 1e-5}");
    expect(kind).toBe("full-fine-tune");
    expect(fields).toEqual({ learning_rate: 1e-5 });
    expect(warnings.map(({ code }) => code)).toEqual(["full-fine-tune"]);
  });

  it.each([
    ["my_trainer fit --rank 32"],
    ["/opt/bin/my_trainer fit --rank 32"],
    ["python -m pkg.fit --rank=32"],
    ["accelerate launch --mixed_precision fp16 /x/deep/dir/fit.py --rank 32"],
    ["C:\\x\\deep\\dir\\fit.py --rank 32"],
  ])("knows the command %s", (line) => {
    const { trainer, fields } = read("", line.split(" "));
    expect({ trainer, rank: fields.lora_rank }).toEqual({ trainer: "mine", rank: 32 });
  });

  it.each([
    ["my_trainer eval --rank 32"],
    ["my_trainer --rank 32"],
    ["python -m other.fit --rank 32"],
    ["python dir/fit.py --rank 32"],
  ])("leaves the command %s to others", (line) => {
    expect(read("", line.split(" ")).trainer).toBe("unknown");
  });

  it("takes the launcher's value, and arguments over the file", () => {
    const launch = ["accelerate", "launch", "--mixed_precision", "fp16", "deep/dir/fit.py"];
    expect(read("", launch).fields.mixed_precision).toBe("fp16");
    expect(read("{net: {rank: 8}}", [...launch, "net.rank=64"]).fields.lora_rank).toBe(64);
  });

  it("finds values of names that hold dots, dashes or nothing of their own", () => {
    expect(valueAt({ "a.b": 1, a: { b: 2 } }, "a.b")).toBe(1);
    expect(valueAt({ "--rank": 4 }, "rank")).toBe(4);
    expect(valueAt({ a: 1 }, "__proto__.x")).toBeUndefined();
    expect(valueAt({ a: [{ b: [{ c: 1 }, { c: 2 }] }, { b: 3 }] }, "a[].b[].c")).toEqual([1, 2]);
  });

  it.each([
    [{ key: "a", is: [true] }, { a: true }, true],
    [{ key: "a", is: [true] }, { a: "True" }, true],
    [{ key: "a", is: [0.1] }, { a: "1e-1" }, true],
    [{ key: "a", is: ["x"] }, {}, false],
    [{ key: "a", not: ["x"] }, {}, true],
    [{ key: "a", not: ["x"] }, { a: "X" }, false],
    [{ key: "a", given: false }, { a: "" }, true],
    [{ key: "a", given: true }, { a: 0 }, true],
    [{ key: "a", has: "lora" }, { a: "my.LoRA.model" }, true],
  ])("%j of %j is %s", (condition, source, expected) => {
    expect(holds(source, condition)).toBe(expected);
  });
});

describe("a command that nobody knows", () => {
  it("fills what its words say everywhere, and says so", () => {
    const command = "swoft fit --lora_rank 8 --learning_rate 1e-4 --output_dir out --max_steps=-1";
    const found = recognise({ text: "", command: command.split(" ") });
    expect(found.trainer).toBe("unknown");
    expect(found.fields).toEqual({ lora_rank: 8, learning_rate: 1e-4, output_dir: "out" });
    expect(found.defaults).toEqual([]);
    expect(found.warnings).toEqual([
      {
        code: "read-by-name",
        message:
          "No known trainer has this command; lora_rank, learning_rate, output_dir are read from the command by their names.",
      },
    ]);
  });

  it.each([
    ["--rank 8 --alpha 4 --batch_size 128"],
    ["--learning_rate"],
    ["--lora_rank many"],
    ["--lora_rank 99999999"],
  ])("leaves %s, which may mean anything or nothing", (line) => {
    const { fields } = recognise({ text: "", command: ["./fit", ...line.split(" ")] });
    expect(fields).toEqual({});
  });
});

const good = `name = "my-trainer"

[recognise]
keys = ["net.rank"]

[columns]
lora_rank = { keys = ["net.rank"], default = 16 }

[console]
lines = ["step {step}/{total} loss {loss}"]
`;

describe("a dialect's file", () => {
  it("is read as a table", () => {
    expect(readDialect(good)).toMatchObject({
      name: "my-trainer",
      columns: { lora_rank: { keys: ["net.rank"], default: 16 } },
    });
  });

  const faults: [string, string, string, number, RegExp][] = [
    ["a word of no form", "default = 16", "defualt = 16", 7, /columns\.lora_rank\.defualt/],
    ["a default of another type", "default = 16", 'default = "x"', 7, /whole number/],
    ["a default out of range", "default = 16", "default = 0", 7, /does not fit/],
    ["a column that there is not", "lora_rank =", "lora_rnak =", 7, /lora_rnak/],
    ["a column of the ledger's own", "lora_rank =", "cost =", 7, /cost/],
    ["a name with spaces", '"my-trainer"', '"My Trainer"', 1, /^name/],
    ["no mark at all", 'keys = ["net.rank"]\n\n', "\n\n", 3, /recognises nothing/],
    ["a line without a field", "step {step}/{total} loss {loss}", "loss", 10, /no field/],
    ["two fields together", "{step}/{total}", "{step}{total}", 10, /nothing between/],
    ["a brace that is no field", "{step}/{total}", "{ step }/{total}", 10, /brace/],
    ["broken TOML", "[console]", "[console", 9, /broken/],
    ["a path out of the folder", "[console]", '[files]\nfinal = ["../x"]\n[console]', 10, /below/],
  ];
  it.each(faults)("is refused for %s, by its line", (_, from, to, line, message) => {
    const found = readDialect(good.replace(from, to));
    expect(isFaulty(found) && found[0]).toMatchObject({ line });
    const [first] = isFaulty(found) ? found : [];
    expect(`${first?.path}: ${first?.message}`).toMatch(message);
  });

  it("is bounded", () => {
    expect(readDialect(`${good}#${"x".repeat(20_000)}`)).toMatchObject([{ line: 1 }]);
  });

  it("has lines of tables in lists and of quoted names", () => {
    const text = '[[kinds]]\nkind = "dataset"\n[[kinds]]\nkind = "odd"\n[columns."a.b"]\nx = 1\n';
    expect(lineOf(text, ["kinds", 1, "kind"])).toBe(4);
    expect(lineOf(text, ["kinds", 0])).toBe(1);
    expect(lineOf(text, ["columns", "a.b", "x", "deeper"])).toBe(6);
    expect(lineOf(text, ["nowhere"])).toBe(1);
  });
});
