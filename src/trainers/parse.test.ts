import { describe, expect, it } from "vitest";
import { ConfigSyntaxError } from "./formats/fault.ts";
import { parseConfig } from "./parse.ts";

const parse = (text: string, path?: string) => parseConfig(text, undefined, path);
const faultOf = (text: string, path?: string) => {
  try {
    parse(text, path);
  } catch (error) {
    if (error instanceof ConfigSyntaxError) return error;
    throw error;
  }
  throw new Error("it parsed");
};
const place = (text: string, path?: string) => {
  const { line, column } = faultOf(text, path);
  return [line, column];
};

describe("guessing the format", () => {
  it("tries JSON, TOML and YAML", () => {
    expect(parse('{"a": 1}')).toEqual({ format: "json", value: { a: 1 } });
    expect(parse("a = 1\n[b]\nc = 2\n")).toEqual({ format: "toml", value: { a: 1, b: { c: 2 } } });
    expect(parse("a: 1\nb:\n  c: 2\n")).toEqual({ format: "yaml", value: { a: 1, b: { c: 2 } } });
  });

  it("keeps what is none of them as text", () => {
    for (const text of [
      "",
      "  \n",
      "# only a comment\n",
      "1girl, solo --n lowres --w 512",
      "{x} y",
    ])
      expect(parse(text)).toEqual({ format: "text", value: null });
  });

  it("goes by the file's name where it has one that tells", () => {
    expect(parse("", "C:\\runs\\a.TOML")).toEqual({ format: "toml", value: {} });
    expect(parse("a: 1", "x/a.yml").format).toBe("yaml");
    expect(parse("a = 1", "a.txt").format).toBe("toml");
    expect(parseConfig("a: 1", "yaml", "a.toml").format).toBe("yaml");
  });
});

describe("broken files", () => {
  it("gives line and column", () => {
    expect(place("a = 1\nb = \nc = 2\n")).toEqual([2, 5]);
    expect(place("a: 1\nb: [1\n", "a.yaml")[0]).toBe(3);
    expect(place('{"a": 1,\n "b": }', "a.json")).toEqual([2, 7]);
    expect(place('{"a": 1,}', "a.json")).toEqual([1, 9]);
    expect(place('{"a": [1, 2}', "a.json")).toEqual([1, 12]);
    expect(place('{"a": 1', "a.json")).toEqual([1, 8]);
    expect(place("", "a.json")).toEqual([1, 1]);
  });

  it("says why in plain words", () => {
    expect(faultOf("a = 1\nb = \n").message).toBe(
      "The TOML is broken at line 2, column 5: invalid value",
    );
    expect(faultOf('p = "C:\\Users"\n').message).toContain("single quotes");
    expect(faultOf('{"a" 1}', "a.json").message).toContain("where a colon should stand");
  });

  it("takes a text for broken TOML, JSON or YAML only where it plainly is", () => {
    expect(place("[net]\nnetwork_dim = 32\nlr = 1e-\nname = 'x'\n")[0]).toBe(3);
    expect(place('{"a": 1, "b": }')).toEqual([1, 15]);
    expect(place("a: 1\nb: [1\nc: 2\nd: 3\n")[0]).toBe(3);
    expect(parse("one = two three\nfour five six\nseven eight\n").format).toBe("text");
  });
});

describe("values", () => {
  it("makes plain JSON of TOML", () => {
    expect(
      parse("d = 1979-05-27T07:32:00Z\nbig = 12345678901234567890\nf = inf\nn = nan\nlr = 1e-4\n")
        .value,
    ).toEqual({
      d: "1979-05-27T07:32:00.000Z",
      big: "12345678901234567890",
      f: "Infinity",
      n: "NaN",
      lr: 0.0001,
    });
  });

  it("reads YAML as PyYAML does where it matters, and keeps keys as written", () => {
    expect(
      parse(
        "lr: 1e-4\nquoted: '1e-4'\nyes_: yes\noff_: Off\nn: no\nbig: 12345678901234567890\nd: 2024-01-02\n" +
          "on: 1\nempty:\nbase: &b {x: 1, y: 2}\nderived:\n  <<: *b\n  y: 3\ncopy: *b\nhidden: [redacted]\nurl: {u: x, v: https://[redacted]@h/}\ncmd: [redacted] --x\n",
        "a.yaml",
      ).value,
    ).toEqual({
      lr: 0.0001,
      quoted: "1e-4",
      yes_: true,
      off_: false,
      n: false,
      big: "12345678901234567890",
      d: "2024-01-02",
      on: 1,
      empty: null,
      base: { x: 1, y: 2 },
      derived: { x: 1, y: 3 },
      copy: { x: 1, y: 2 },
      hidden: "[redacted]",
      url: { u: "x", v: "https://[redacted]@h/" },
      cmd: "[redacted] --x",
    });
  });

  it("reads Python's NaN and large integers in JSON", () => {
    expect(
      parse('{"a": NaN, "b": -Infinity, "c": 12345678901234567890, "d": "NaN"}').value,
    ).toEqual({ a: "NaN", b: "-Infinity", c: "12345678901234567890", d: "NaN" });
  });

  it("takes __proto__ for a key like any other", () => {
    for (const text of [
      '{"__proto__": {"x": 1}}',
      "[__proto__]\nx = 1\n",
      "__proto__:\n  x: 1\n",
    ]) {
      const { value } = parse(text);
      expect(JSON.stringify(value)).toBe('{"__proto__":{"x":1}}');
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    }
  });
});

describe("hostile files", () => {
  it("refuses YAML whose aliases expand", () => {
    let bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
    for (let i = 1; i < 12; i++)
      bomb += `a${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(",")}]\n`;
    expect(faultOf(bomb, "a.yaml").message).toContain("expand");

    let merges = "a0: &a0 {k: 1}\n";
    for (let i = 1; i < 30; i++)
      merges += `a${i}: &a${i} {<<: [*a${i - 1}, *a${i - 1}], k${i}: 1}\n`;
    expect(faultOf(merges, "a.yaml").message).toContain("expand");
    expect(faultOf("a: &a [*a]\n", "a.yaml").message).toContain("100 levels");
    expect(faultOf("a: *x\n", "a.yaml").message).toContain("*x");
  });

  it("refuses deep nesting without a stack overflow", () => {
    const files: [string, string][] = [
      ["[".repeat(100_000), "a.json"],
      [`{"a":`.repeat(100_000), "a.json"],
      ["[".repeat(100_000), "a.yaml"],
      ["- ".repeat(20_000), "a.yaml"],
      ["? ".repeat(20_000), "a.yaml"],
      [Array.from({ length: 400 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"), "a.yaml"],
      [`a=${"[".repeat(100_000)}`, "a.toml"],
      [`[${Array(50_000).fill("a").join(".")}]\n`, "a.toml"],
    ];
    for (const [text, path] of files) expect(faultOf(text, path).message).toContain("100 levels");
    expect(faultOf("? ".repeat(90), "a.yaml").message).toContain("plain text");
  });

  it("does not parse YAML that is far larger than any config", () => {
    const large = "key: value\n".repeat(20_000);
    expect(parse(large, "a.yaml")).toEqual({ format: "yaml", value: null });
    expect(parse(large)).toEqual({ format: "text", value: null });
  });
});
