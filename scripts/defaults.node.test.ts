import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rows as allRows, type Place, type Row } from "./defaults/rows.ts";
import { compare, readPackages, tableOf } from "./defaults.ts";

const source = `
import argparse
from dataclasses import dataclass, field
from pydantic import BaseModel, Field

DEFAULT = 7
fast = "slow_adam"
if newer_torch():
    fast = "fast_adam"

@dataclass
class Arguments:
    required: str
    r: int = field(default=16, metadata={"help": "rank"})
    alpha: float = 3.2e1
    names: list = field(default_factory=lambda: ["a", "b"])
    optim: str = field(default=fast)
    kind: str = Kinds.LORA.value
    seed: int = DEFAULT
    path: str = Path("./out")
    computed: int = compute(1)

    def __post_init__(self):
        if self.rate is None:
            self.rate = 1e-4

class Model(BaseModel):
    required: str = Field(..., description="x")
    first: int = Field(5)
    named: str | None = Field(default=None)

def make(model, r=8, *, dropout=0.5, **more):
    pass

def parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", "-r", type=int, default=4)
    parser.add_argument("--lora-alpha", dest="alpha_of", default=DEFAULT)
    parser.add_argument("--use_dora", action="store_true")
    parser.add_argument("--seed", type=int)
    group.add_argument("positional")

registry.add(ConfigField(arg_name="--lora_rank", default_value=16))
`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "defaults-"));
  mkdirSync(join(folder, "trainer"));
  writeFileSync(join(folder, "trainer/code.py"), source);
  writeFileSync(join(folder, "trainer/broken.py"), "def (:\n");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Where = { [key: string]: unknown };
/** The defaults and faults that are read from places in the file above. */
async function read(...where: Where[]) {
  const places = where.map(
    (one) => ({ package: "made", file: "trainer/code.py", ...one }) as Place,
  );
  const row: Row = { name: "one", trainer: "peft", ask: {}, places, columns: {} };
  const { values, faults } = await readPackages([row], { sources: { made: folder }, folder });
  return { values: values.one, faults: faults.one };
}

describe("a trainer's defaults are read from its source text:", () => {
  it("fields of dataclasses and models", async () => {
    expect((await read({ class: "Arguments" })).values).toEqual({
      ...{ required: null, r: 16, alpha: 32, names: ["a", "b"], optim: "fast_adam", kind: "lora" },
      ...{ seed: 7, path: "./out", computed: { code: "compute(1)" } },
    });
    expect((await read({ class: "Model" })).values).toEqual({
      required: null,
      first: 5,
      named: null,
    });
  });

  it("parameters, options, registries, and what only code says", async () => {
    expect((await read({ function: "make" })).values).toEqual({ r: 8, dropout: 0.5 });
    expect((await read({ options: true })).values).toEqual({
      rank: 4,
      alpha_of: 7,
      use_dora: false,
      seed: null,
    });
    const field = { call: "ConfigField", name: "arg_name", default: "default_value" };
    expect((await read(field)).values).toEqual({ lora_rank: 16 });
    const rate = { pattern: "self\\.rate = ([\\d.e-]+)", as: "rate" };
    expect((await read({ class: "Model", prefix: "a." }, rate)).values).toEqual({
      ...{ "a.required": null, "a.first": 5, "a.named": null, rate: 1e-4 },
    });
  });

  it("what is not where the table says is a fault", async () => {
    const { values, faults } = await read(
      { class: "Gone" },
      { function: "gone" },
      { pattern: "never = (1)", as: "never" },
      { file: "trainer/none.py", class: "A" },
      { file: "trainer/broken.py", class: "A" },
      { call: "Nothing", name: "a", default: "b" },
    );
    expect(values).toEqual({});
    expect(faults).toHaveLength(6);
    expect(faults?.[0]).toBe("trainer/code.py has no Gone");
  });
});

describe("a row", () => {
  const row: Row = {
    name: "LoRA",
    trainer: "peft",
    ask: { text: '{"peft_type": "LORA", "target_modules": ["q_proj"]}' },
    places: [],
    columns: { lora_rank: "r", lora_alpha: ({ alpha }) => alpha, dropout: "drop" },
  };
  const verdicts = (changes: Partial<Row>, values = {}) =>
    compare({ ...row, ...changes }, { r: 8, alpha: 8, drop: 0, ...values }, []).map(
      ({ verdict }) => verdict,
    );

  it("agrees or differs, column by column", () => {
    expect(verdicts({})).toEqual(["same", "same", "same"]);
    expect(verdicts({}, { r: 16 })).toEqual(["differs", "same", "same"]);
    expect(verdicts({}, { alpha: null })).toEqual(["same", "differs", "same"]);
  });

  it("may differ for a reason, which has to be needed", () => {
    const meant = { lora_rank: "PEFT asks for it" };
    expect(verdicts({ meant }, { r: 16 })).toEqual(["meant", "same", "same"]);
    expect(verdicts({ meant })).toEqual(["needless reason", "same", "same"]);
  });

  it("says what it cannot compare", () => {
    expect(compare(row, { alpha: 8, drop: 0 }, [])).toMatchObject([
      { verdict: "differs", about: "the trainer has no r any more" },
    ]);
    expect(compare(row, {}, ["a fault"])).toMatchObject([{ verdict: "differs", about: "a fault" }]);
    expect(verdicts({ trainer: "of tomorrow" })).toEqual(["not read"]);
  });

  it("stands in a table", () => {
    const table = tableOf(compare(row, { r: 16, alpha: 8, drop: 0 }, []).slice(0, 1));
    expect(table).toBe(
      "row   column     trainer  service\nLoRA  lora_rank  16       8        differs",
    );
  });
});

it("each row has a name of its own, and asks for a run of its trainer where the service knows it", () => {
  expect(new Set(allRows.map(({ name }) => name)).size).toBe(allRows.length);
  for (const row of allRows) {
    const values = Object.fromEntries(
      Object.values(row.columns).flatMap((from) =>
        typeof from === "string" ? [[from, null]] : [],
      ),
    );
    const [line] = compare(row, values, []);
    if (line?.verdict === "not read")
      expect(line.about).toMatch(/^the service takes this for (?:unknown|generic) /);
  }
});
