import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { continuing, settingFor, valueFor } from "../../../../src/shared/continuing.ts";
import { parseToml } from "../../../../src/trainers/formats/toml.ts";
import templates from "../../../../src/trainers/templates.json" with { type: "json" };
import { lineOf, placesOfFaults, placesOfWarnings } from "./places.ts";
import { commandWithStandIns, linesWithMarks, variableOf, withStandIns } from "./secrets.ts";
import { writeSetting } from "./settings.ts";
import { axisOf, gridSize } from "./vary.ts";

describe("writing a setting", () => {
  const of = (text: string, format: "toml" | "yaml" | "json", ...path: (string | number)[]) =>
    writeSetting(text, format, path, "a/b.safetensors");

  it("adds it to its section or changes it there, and leaves comments", () => {
    const toml = '# mine\nnetwork_dim = 4 # rank\n\n[adapter]\nrank = 2\n\n[model]\ntype = "x"\n';
    expect(of(toml, "toml", "network_weights")).toBe(
      toml.replace("# rank\n", '# rank\nnetwork_weights = "a/b.safetensors"\n'),
    );
    expect(of(toml, "toml", "adapter", "rank")).toBe(toml.replace("= 2", '= "a/b.safetensors"'));
    expect(of(toml, "toml", "adapter", "init")).toBe(
      toml.replace("rank = 2\n", 'rank = 2\ninit = "a/b.safetensors"\n'),
    );
    expect(of("a = 1", "toml", "new", "key")).toBe('a = 1\n\n[new]\nkey = "a/b.safetensors"\n');
    const yaml = "# mine\nconfig:\n  process:\n    - network: {linear: 4} # rank\n";
    const written = of(yaml, "yaml", "config", "process", 0, "network", "path") ?? "";
    expect(written).toContain("# mine");
    expect(parse(written).config.process[0].network).toEqual({
      linear: 4,
      path: "a/b.safetensors",
    });
    expect(JSON.parse(of('{"a": 1}', "json", "b") ?? "")).toEqual({ a: 1, b: "a/b.safetensors" });
  });

  it("gives none where the file cannot take it", () => {
    expect(writeSetting("a b", "text", ["c"], "d")).toBeNull();
    expect(of("a: [", "yaml", "b")).toBeNull();
    expect(of("a: 1", "yaml", "a", "b")).toBeNull();
  });
});

describe("going on from a file", () => {
  it("has a line for each trainer of the templates, whose setting the template takes", () => {
    for (const { trainer, format, text } of templates) {
      const known = continuing[trainer];
      expect(known, trainer).toBeDefined();
      for (const kind of ["checkpoint", "state"]) {
        const setting = settingFor(trainer, kind);
        if (!setting) continue;
        const value = valueFor(setting, "task-1/checkpoint-5/adapter_model.safetensors");
        expect(value).toMatch(/^task-1\/checkpoint-5/);
        const written = writeSetting(text, format as "toml", setting.path, value);
        expect(written, `${trainer} ${kind}`).not.toBeNull();
        const read = format === "toml" ? parseToml(written ?? "") : parse(written ?? "");
        // biome-ignore lint/suspicious/noExplicitAny: the path leads through whatever the file has.
        const got = setting.path.reduce((node: any, part) => node[part], read);
        expect(got, `${trainer} ${kind}`).toBe(value);
      }
    }
    expect(settingFor("constructor", "final")).toBeNull();
  });
});

describe("secrets that were left out", () => {
  it("get a word in the place of their own marks alone", () => {
    const text =
      'wandb_api_key = "[redacted]"\nhf_token: [redacted]\nnote = "[redacted]"\n"wandb_api_key": "[redacted]",';
    const named = [{ name: "wandb_api_key" }, { name: "hf_token" }];
    const written = withStandIns(text, named, "w0rd");
    expect(written).toBe(
      'wandb_api_key = "w0rd"\nhf_token: w0rd\nnote = "[redacted]"\n"wandb_api_key": "w0rd",',
    );
    expect(linesWithMarks(written)).toEqual([3]);
    expect(withStandIns("a.*[x = [redacted]", [{ name: "a.*[x" }], "w")).toBe("a.*[x = w");
    const command = ["train", "--hf_token", "[redacted]", "--key=[redacted]", "[redacted]"];
    expect(commandWithStandIns(command, [{ at: 2 }, { at: 3 }], "w")).toEqual([
      ...["train", "--hf_token", "w", "--key=w", "[redacted]"],
    ]);
    expect(variableOf("--hub.hf-token")).toBe("HF_TOKEN");
  });
});

describe("a sweep's axes", () => {
  it("are lists of values, or ranges", () => {
    expect(axisOf("1e-4, 2e-4")).toEqual([1e-4, 2e-4]);
    expect(axisOf(' AdamW , "8", true,')).toEqual(["AdamW", "8", true]);
    expect(axisOf("1e-5 .. 1e-3 log")).toEqual({ min: 1e-5, max: 1e-3, log: true });
    expect(axisOf("4..64 int log")).toEqual({ min: 4, max: 64, log: true, int: true });
    for (const wrong of ["", " , ", "5 .. 5", "a .. b", "0 .. 1 log"])
      expect(axisOf(wrong)).toBeNull();
    expect(
      gridSize([
        [1, 2],
        [1, 2, 3],
      ]),
    ).toBe(6);
    expect(gridSize([[1], { min: 0, max: 1 }])).toBeNull();
  });
});

describe("places in a file", () => {
  it("are those of faults, and of settings that warnings name", () => {
    expect(
      placesOfFaults([{ path: "config (line 3, column 9)", message: "m" }, { path: "x" }]),
    ).toEqual([{ line: 3, column: 9, message: "m", bad: true }]);
    const text = 'a = 1\n  - train_lr: 2\n"train": 3\n';
    expect(lineOf(text, "config.train_lr")).toBe(2);
    expect(lineOf(text, "train")).toBe(3);
    expect(lineOf(text, "secret (line 7)")).toBe(7);
    expect(lineOf(text, "b")).toBeNull();
    expect(placesOfWarnings(text, [{ message: "m", path: "a" }, { message: "n" }])).toEqual([
      { line: 1, column: 1, message: "m", bad: false },
    ]);
  });
});
