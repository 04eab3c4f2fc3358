import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { redactCommand, redactConfig, redactJson, redactText } from "./redact.ts";

/** What configs, logs and secrets are made of, to be put together in any order. */
const pieces = [
  ...["token", "hf_token", "api_key", "password", "WANDB_API_KEY", "keep_tokens", "a", "b1", "训"],
  ...[
    " ",
    "  ",
    "\n",
    "\n  ",
    "\n    ",
    "\r\n",
    "\t",
    ":",
    ": ",
    "=",
    " = ",
    '"',
    "'",
    '"""',
    "'''",
  ],
  ...["[", "]", "{", "}", ",", "# ", "|", ">", "- ", "--", "\\", '\\"', "[redacted]", "null", "\0"],
  ...["hf_abcdefghijklmnopqrstuvwxyz", "https://u:p@h", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc"],
  ...["-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----", "Bearer abcdefghijklmnopq"],
  ...[
    "curl ",
    "-u me:pw1 ",
    "name",
    "value",
    "HF_TOKEN",
    "%3D",
    "is ",
    "login ",
    "Basic QWxhZGRpbjo=",
  ],
  ...["0a1b2c3d4e5f6a7b8c9d", "?", "&", "sig", "12345678:AA", "\\n"],
];
const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 40 }).map((parts) => parts.join(""));

describe("any text", () => {
  it("never makes it throw", () => {
    fc.assert(
      fc.property(soup, (text) => {
        redactConfig(new TextEncoder().encode(text));
        redactText(text, "tail");
        redactCommand(text.split(" "));
        redactJson({ text, token: text }, "node_info");
      }),
      {
        numRuns: 5000,
        // A token that begins within another and ends behind it.
        examples: [["Bearer abcdefghijklmnopq12345678:AAhf_abcdefghijklmnopqrstuvwxyztoken"]],
      },
    );
  });

  it("keeps every byte that is no secret", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        // Whatever stands before a line, its secret goes and the rest stays.
        const quoteless = noise.filter((byte) => !"\"'|>[{\\".includes(String.fromCharCode(byte)));
        const line = new TextEncoder().encode('\n\nhf_token = "v1"\n');
        const bytes = new Uint8Array([0x41, ...quoteless, ...line]);
        const { bytes: out } = redactConfig(bytes);
        const expected = new TextEncoder().encode('\n\nhf_token = "[redacted]"\n');
        expect([...out.slice(-expected.length)]).toEqual([...expected]);
      }),
    );
  });
});

describe("any settings", () => {
  const secret = "s3cr3tV4lue";
  const other = fc.constantFrom("keep_tokens", "class_tokens", "lr", "prompt", "api_url");
  const secretName = fc.constantFrom("hf_token", "WANDB_API_KEY", "password", "Api-Key", "token");
  const comment = fc.constantFrom("", " # mine", "  # token of mine");
  const before = fc.constantFrom("", "# ", "#");
  const line = (name: fc.Arbitrary<string>, value: string, forms: [string, string][]) =>
    fc
      .tuple(before, name, fc.constantFrom(...forms), comment)
      .map(([hash, key, [open, close], tail]) => `${hash}${key}${open}${value}${close}${tail}`);
  const toml: [string, string][] = [
    ...([' = "', "='", '= """'] as const).map((open): [string, string] => [
      open,
      open.replace(/[ =]/g, ""),
    ]),
    [' = ["', '"]'],
    [' = { token = "', '" }'],
  ];
  const yaml: [string, string][] = [
    [": ", ""],
    [': "', '"'],
    [": '", "'"],
    [": {token: ", "}"],
  ];

  it("loses its secrets, keeps its other lines, and has nothing left to hide", () => {
    for (const forms of [toml, yaml])
      fc.assert(
        fc.property(
          fc.array(
            fc.oneof(
              line(secretName, secret, forms),
              line(other, "plain1", forms.slice(0, 3)).filter((text) => !text.includes("token =")),
            ),
            { minLength: 1, maxLength: 12 },
          ),
          (lines) => {
            const bytes = new TextEncoder().encode(`${lines.join("\n")}\n`);
            const once = redactConfig(bytes).bytes;
            const out = new TextDecoder().decode(once).split("\n");
            expect(out.slice(0, -1)).toEqual(
              lines.map((text) => text.replace(secret, "[redacted]")),
            );
            expect(redactConfig(once).bytes).toBe(once);
          },
        ),
        { numRuns: 2000 },
      );
  });
});

describe("time", () => {
  const size = 250_000;
  const repeat = (text: string) => text.repeat(Math.ceil(size / text.length)).slice(0, size);
  const stairs = (line: (indent: string) => string) =>
    Array.from({ length: 1900 }, (_, i) => line(" ".repeat(i))).join("");
  const nasty = [
    ...["a", "=", "a=", "token=", "token: ", "token:\n", "api_key: |\n", "token: a\n ", "--", "- "],
    ...["eyJ-", "eyJ-eyJ-aaaaaaaaaaaa.", "-----BEGIN PRIVATE KEY-----\n", "--token ", 'token="'],
    ...[
      "token='''\n",
      'password="\\',
      "token: [",
      "token=[\n",
      "://a:a@",
      "a://aaaaaaaa:aa",
      "://",
    ],
    ...["hf_aaaaaaaaaaaaaaaaaaa-", "sk-proj-", "token: a\n\n\n\n\n", "token:\r\n", ",token: a b"],
    ...['\\"token\\": \\', "Bearer ", '"token":\n', '"token":    \n    ', '"--token"   ,\n\n'],
    ...["https://hooks.slack.com/services/", "secret:\n  ", "#token: a b\n", `${" ".repeat(63)}=`],
    ...["key:", "key=", "?key=", "&sig=", "value:", "name:HF_TOKEN,value:", "key key ", "curl -u "],
    ...["password is ", "login password ", "docker login -p ", "token%3D", "%22token%22%3A"],
    ...["-----END PRIVATE KEY-----\n", "AAAAAAAA\n-----END PRIVATE KEY-----\n", "12345678:AA"],
  ].map(repeat);
  nasty.push(
    stairs((indent) => `${indent}token:\n`),
    stairs((indent) => `${indent}- token: |\n`),
    stairs((indent) => `${indent}- token:\n${indent} - a\n`),
  );

  it("grows with the length alone, for any text", () => {
    for (const text of nasty) {
      const bytes = new TextEncoder().encode(text);
      const start = performance.now();
      redactConfig(bytes);
      redactText(text, "tail");
      // Two passes take some 0.02 s; what is quadratic takes many seconds.
      expect(performance.now() - start, JSON.stringify(text.slice(0, 30))).toBeLessThan(1500);
    }
  }, 120_000);
});
