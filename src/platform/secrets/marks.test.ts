import { describe, expect, it } from "vitest";
import { parseConfig } from "../../trainers/parse.ts";
import { commandMarks, fillableMarks } from "./marks.ts";
import { redactConfig } from "./redact.ts";

/** The names of the marks that a repeat may fill, and those that count as typed with a `?`. */
function marksOf(text: string, path: string, names: string[] = []) {
  const { bytes, marks } = redactConfig(new TextEncoder().encode(text));
  const parse = (part: Uint8Array) =>
    parseConfig(new TextDecoder().decode(part), undefined, path).value;
  return fillableMarks(bytes, parse, marks, names).map(({ at, name, typed }) => {
    expect(new TextDecoder().decode(bytes.subarray(at, at + 10))).toBe("[redacted]");
    return typed ? `${name}?` : name;
  });
}

describe("fillableMarks", () => {
  it("finds whole values of secret keys in each format", () => {
    expect(
      marksOf(
        "# 训练\nwandb_api_key = \"abc1\"\n[log]\nhf-token='abc2'\npassword = 84019275\n",
        "a.toml",
      ),
    ).toEqual(["wandb_api_key", "hf-token", "password"]);
    expect(
      marksOf("hf_token: abc1\nlog:\n  - api_key: 'abc2'\n    secret: |\n      abc3\n", "a.yaml"),
    ).toEqual(["hf_token", "api_key"]);
    expect(
      marksOf('{"x": {"hf_token": "abc1"}, "args": ["--wandb_api_key", "abc2", "y"]}', "a.json"),
    ).toEqual(["hf_token", "wandb_api_key"]);
  });

  it("leaves a mark within a longer value, a comment or another key's value as it is", () => {
    for (const [text, path] of [
      ['output_name = "x CLOUD_PASSWORD=[redacted]"\n', "a.toml"],
      ['output_name = "x hf_token=abc12345 y"\n', "a.toml"],
      ['training_comment = "LEDGER_KEY=[redacted]"\n', "a.toml"],
      ['training_comment = "[redacted]"\n', "a.toml"],
      ['training_comment = """\nhf_token = "abc1"\n"""\n', "a.toml"],
      ["training_comment: |\n  hf_token: abc1\n", "a.yaml"],
      ["training_comment: >-\n  hf_token: abc1\n", "a.yaml"],
      ['# hf_token = "abc1"\nx = 1\n', "a.toml"],
      ['{"note": "{\\"hf_token\\": \\"abc1\\"}"}', "a.json"],
      ['"[redacted]" = "[redacted]"\n', "a.toml"],
    ] as const)
      expect(marksOf(text, path), text).toEqual([]);
  });

  it("leaves a value that an alias repeats under another key as it is", () => {
    expect(marksOf("a: &a {hf_token: abc1}\nb: *a\n", "a.yaml")).toEqual(["hf_token"]);
    const bytes = new TextEncoder().encode("[redacted]");
    const twice = (part: Uint8Array) => {
      const word = new TextDecoder().decode(part);
      return { hf_token: word, output_name: word };
    };
    expect(fillableMarks(bytes, twice)).toEqual([]);
  });

  it("tells a typed mark from one that it made", () => {
    const text = 'hf_token = "[redacted]"\nwandb_api_key = "abc1"\n';
    expect(marksOf(text, "a.toml")).toEqual(["hf_token?", "wandb_api_key"]);
    // The file was made from one whose hf_token was taken out here.
    expect(marksOf(text, "a.toml", ["hf_token"])).toEqual(["hf_token", "wandb_api_key"]);
  });

  it("lists the first hundred of many, and nothing of UTF-16", () => {
    const many = Array.from({ length: 5000 }, (_, n) => `[t${n}]\nhf_token = "abc${n}"\n`).join("");
    expect(marksOf(many, "a.toml")).toHaveLength(100);
    const wide = new Uint8Array(
      Uint16Array.from('\uFEFFhf_token = "abc"\n', (c) => c.charCodeAt(0)).buffer,
    );
    expect(redactConfig(wide).marks).toEqual([]);
  });
});

describe("commandMarks", () => {
  it("finds whole values of secret options and assignments", () => {
    expect(
      commandMarks([
        ...["train", "--hf_token", "[redacted]", "--log.wandb_api_key=[redacted]"],
        ...["HF_TOKEN=[redacted]", "--output_name=[redacted]", "--name", "[redacted]"],
        ...["--note=x hf_token=[redacted]", "[redacted]", "--token=[redacted] x"],
      ]),
    ).toEqual([
      { at: 2, name: "hf_token" },
      { at: 3, name: "wandb_api_key" },
      { at: 4, name: "HF_TOKEN" },
    ]);
  });
});
