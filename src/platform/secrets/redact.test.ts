import { describe, expect, it } from "vitest";
import { secretKey } from "./keys.ts";
import { hasRedacted, redactCommand, redactConfig, redactJson, redactText } from "./redact.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const config = (text: string) => {
  const { bytes, redactions } = redactConfig(bytesOf(text));
  return {
    text: new TextDecoder("utf-8", { ignoreBOM: true, fatal: false }).decode(bytes),
    where: redactions.map(({ where }) => where),
  };
};
const redacted = (text: string) => config(text).text;
const unchanged = (text: string) => expect(config(text)).toEqual({ text, where: [] });

const hf = `hf_${"aBcDeFgHiJ".repeat(3)}abcd`;
const wandb = "0123456789abcdef0123456789abcdef01234567";

describe("redactConfig", () => {
  it("replaces only the values of secret keys in TOML, byte for byte", () => {
    expect(
      config(
        `\uFEFF# 训练\r\nwandb_api_key = "${wandb}" # mine\r\nclass_tokens = "hf girl"\r\n` +
          `hf_token='abc'\r\n[log]\r\napi-key = "x1"\r\npassword = 1234\r\nseed = 1234\r\n`,
      ),
    ).toEqual({
      text:
        '\uFEFF# 训练\r\nwandb_api_key = "[redacted]" # mine\r\nclass_tokens = "hf girl"\r\n' +
        `hf_token='[redacted]'\r\n[log]\r\napi-key = "[redacted]"\r\npassword = "[redacted]"\r\nseed = 1234\r\n`,
      where: [
        "wandb_api_key (line 2)",
        "hf_token (line 4)",
        "api-key (line 6)",
        "password (line 7)",
      ],
    });
  });

  it("replaces commented-out secrets and leaves prose in comments alone", () => {
    expect(redacted(`# wandb_api_key = "abc1"\n#hf_token: abc2\n## api_key = abc3 # old\n`)).toBe(
      '# wandb_api_key = "[redacted]"\n#hf_token: [redacted]\n## api_key = [redacted] # old\n',
    );
    unchanged("# token: see the docs\n# wandb_api_key = ?\n# your password: keep it safe\n");
  });

  it("knows inline tables, dotted keys, lists and multi-line strings of TOML", () => {
    expect(redacted('log = { wandb_api_key = "abc", steps = 5 }\n')).toBe(
      'log = { wandb_api_key = "[redacted]", steps = 5 }\n',
    );
    expect(redacted('log.api_key = "a\\"b"\ntoken = ["a1", \'b2\']\n')).toBe(
      'log.api_key = "[redacted]"\ntoken = ["[redacted]", \'[redacted]\']\n',
    );
    expect(redacted('secret = """\nline 1\nline "2"\n"""\nx = 1\n')).toBe(
      'secret = """[redacted]"""\nx = 1\n',
    );
  });

  it("knows plain, quoted, block, folded and flow values of YAML", () => {
    expect(
      redacted(
        "hf_token: abc def # c\npassword: |\n  line1\n\n  line2\nnext: 1\napi_key: >-\n   folded\n" +
          'b: 2\nsecret_key:\n  below\naccess_token: abc\n  goes on\nhub_token: "a\n  b"\n' +
          "env: {HF_TOKEN: abc, OTHER: 2}\nauth_token: 'it''s'\nsecret:\n  inner: 1\n  password: p9\n" +
          "api_token:\n  - one\n  - 'two'\n- token: t1\n  other: 1\n",
      ),
    ).toBe(
      "hf_token: [redacted] # c\npassword: |\n  [redacted]\nnext: 1\napi_key: >-\n   [redacted]\n" +
        'b: 2\nsecret_key:\n  [redacted]\naccess_token: [redacted]\nhub_token: "[redacted]"\n' +
        "env: {HF_TOKEN: [redacted], OTHER: 2}\nauth_token: '[redacted]'\nsecret:\n  inner: 1\n  password: [redacted]\n" +
        "api_token:\n  - [redacted]\n  - '[redacted]'\n- token: [redacted]\n  other: 1\n",
    );
  });

  it("keeps JSON valid", () => {
    const text = `{"api_key":"a\\"b","n":{"password": 12345,"hf_token" : "x"},"j":"{\\"token\\": \\"abc1\\"}","max_token_length":75}`;
    expect(JSON.parse(redacted(text))).toEqual({
      api_key: "[redacted]",
      n: { password: "[redacted]", hf_token: "[redacted]" },
      j: '{"token": "[redacted]"}',
      max_token_length: 75,
    });
  });

  it("leaves words that only look like secret keys alone", () => {
    unchanged(
      'class_tokens = "aki girl"\nmax_token_length = 225\nkeep_tokens = 2\ntoken_warmup_min = 1\n' +
        'tokenizer_type = "AutoTokenizer"\nnum_tokens = 5\nkeep_tokens_separator = "|||"\n',
    );
    unchanged(
      'special_tokens:\n  pad_token: "<|end|>"\n  eos_token: </s>\ntrigger_word: p3r5on\n' +
        "sample_prompts:\n  - the secret: a girl with a key\npush_to_hub: false\n",
    );
  });

  it("leaves empty values, nothings, references and what is already redacted alone", () => {
    unchanged(
      `hf_token = ""\nwandb_api_key = ''\napi_key = "None"\ntoken = false\nsecret = "\${HF_TOKEN}"\n` +
        'password = "[redacted]"\naccess_token = "<your token>"\n',
    );
    unchanged("token: null\nhf_token: ~\nhub_token:\npassword: $HF_TOKEN\napi_key: [redacted]\n");
    unchanged("token: 128\n");
  });

  it("finds tokens by their shape anywhere in values", () => {
    const shapes = [
      hf,
      "sk-proj-abcdefghij_klmnopqrstuv",
      "sk-abcdefghijklmnopqrstuv123",
      "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
      "github_pat_11ABCDEFG0abcdefghijkl_mnopq",
      "AKIAIOSFODNN7EXAMPLE",
      "xoxb-123456789012-abcdef",
      "glpat-abcdefghij1234567890",
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123-_",
      "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcDEF123-_.run42",
      "-----BEGIN RSA PRIVATE KEY-----\nMIIabc+/=\nabc\n-----END RSA PRIVATE KEY-----",
    ];
    for (const shape of shapes)
      expect(redacted(`notes = '''see ${shape} there'''\n`)).toBe(
        "notes = '''see [redacted] there'''\n",
      );
    unchanged(
      'a = "hf_hub_download"\nb = "task-abcdefghijklmnopqrstuvwx"\nc = "AKIA"\nd = "sk-learn"\n',
    );
    unchanged(`model_hash = "${wandb}"\n`);
  });

  it("hides the secret part of URLs and options inside values", () => {
    expect(redacted('url = "https://user:pa55@host.io/x"\n')).toBe(
      'url = "https://[redacted]@host.io/x"\n',
    );
    expect(redacted("hook: https://hooks.slack.com/services/T00/B00/XXyyzz\n")).toBe(
      "hook: https://hooks.slack.com/services/[redacted]\n",
    );
    expect(redacted('extra = "--wandb_api_key abc1 --lr 1"\nenv = "HF_TOKEN=abc x"\n')).toBe(
      'extra = "--wandb_api_key [redacted] --lr 1"\nenv = "HF_TOKEN=[redacted] x"\n',
    );
    expect(redacted('args = ["--hf_token", "abc1", "--lr", "1"]\n')).toBe(
      'args = ["--hf_token", "[redacted]", "--lr", "1"]\n',
    );
    unchanged('url = "ssh://git@github.com/a/b"\nb = "http://host:8080/x@y"\n');
  });

  it("keeps every other byte of GB18030 and UTF-16", () => {
    const gb = new Uint8Array([0xd1, 0xb5, ...bytesOf(' = 1\nhf_token = "abc"\n'), 0xc1, 0xb7]);
    const { bytes } = redactConfig(gb);
    expect([...bytes]).toEqual([
      ...[0xd1, 0xb5, ...bytesOf(' = 1\nhf_token = "[redacted]"\n'), 0xc1, 0xb7],
    ]);

    const wide = (text: string, big: boolean) =>
      new Uint8Array(
        [...`\uFEFF${text}`].flatMap((char) => {
          const unit = char.charCodeAt(0);
          return big ? [unit >> 8, unit & 255] : [unit & 255, unit >> 8];
        }),
      );
    for (const big of [false, true])
      expect(redactConfig(wide('名 = "训"\nhf_token = "密"\n', big)).bytes).toEqual(
        wide('名 = "训"\nhf_token = "[redacted]"\n', big),
      );
  });

  it("gives the same bytes back when there is nothing to hide, and when asked twice", () => {
    const bytes = new Uint8Array([0xff, 0x00, 0x3d, 0x22, 0xfe]);
    expect(redactConfig(bytes).bytes).toBe(bytes);
    const once = redactConfig(bytesOf('hf_token: abc\napi_key = "x1"\n')).bytes;
    expect(redactConfig(once)).toEqual({ bytes: once, redactions: [], marks: [] });
  });

  it("looks every name of its list up, in any spelling", () => {
    for (const name of ["hf_token", "WANDB_API_KEY", "Api-Key", "aws_secret_access_key", "pwd"]) {
      expect(secretKey(name)).toBeDefined();
      expect(redacted(`${name} = "v1"\n`)).toBe(`${name} = "[redacted]"\n`);
    }
    expect(secretKey("constructor")).toBeUndefined();
  });
});

describe("redactText", () => {
  it("takes a token that begins within what was found before", () => {
    const line = "Bearer abcdefghijklmnopq12345678:AAhf_abcdefghijklmnopqrstuvwxyztoken";
    expect(redactText(line, "tail").text).toBe("Bearer [redacted]");
    expect(redacted(line)).toBe("Bearer [redacted]");
  });

  const text = (line: string) => redactText(line, "error_message").text;

  it("hides secrets in the middle of messages", () => {
    expect(text(`login with ${hf} failed`)).toBe("login with [redacted] failed");
    expect(text("Authorization: Bearer abcdefghijklmnop1234")).toBe(
      "Authorization: Bearer [redacted]",
    );
    expect(text("Namespace(hf_token=None, wandb_api_key='abc', token_count=5)")).toBe(
      "Namespace(hf_token=None, wandb_api_key='[redacted]', token_count=5)",
    );
    expect(text(`export WANDB_API_KEY=${wandb}; wandb login ${wandb}`)).toBe(
      "export WANDB_API_KEY=[redacted]; wandb login [redacted]",
    );
    expect(redactText(`${hf} and ${hf}`, "tail").redactions).toEqual([{ where: "tail" }]);
  });

  it("leaves ordinary log lines alone", () => {
    for (const line of [
      "steps:  26%|█▎   | 1985/7650 [33:07<1:34:33,  1.00s/it, avr_loss=0.0928]",
      "ValueError: unexpected token: 'x' at line 3",
      "loss per token = 0.53, tokens: 4096",
      "Token: <EOS>",
    ])
      expect(redactText(line, "tail")).toEqual({ text: line, redactions: [] });
  });
});

describe("redactCommand", () => {
  it("hides values behind options, in assignments and by their shape", () => {
    const argv = [
      ...["env", "HF_TOKEN=abc", "accelerate", "launch", "train.py", "--wandb_api_key", "k1"],
      ...["--token=ab", "--max_token_length", "225", "--hub-token", "none", "--log.api_key=abc"],
      ...["--prompt", `see ${hf}`, "--keep_tokens=2"],
    ];
    expect(redactCommand(argv)).toEqual({
      command: [
        ...["env", "HF_TOKEN=[redacted]", "accelerate", "launch", "train.py"],
        ...["--wandb_api_key", "[redacted]", "--token=[redacted]", "--max_token_length", "225"],
        ...["--hub-token", "none", "--log.api_key=[redacted]", "--prompt", "see [redacted]"],
        "--keep_tokens=2",
      ],
      redactions: [1, 6, 7, 12, 14].map((i) => ({ where: `command[${i}]` })),
    });
  });
});

describe("redactJson", () => {
  it("walks objects, lists, name and value pairs, and strings that hold JSON", () => {
    expect(
      redactJson(
        {
          env: { HF_TOKEN: "a1", PATH: "/bin" },
          argv: ["--hf_token", "v1", "--lr", "1"],
          list: [{ name: "API_KEY", value: "zz" }],
          ss_network_args: '{"api_key":"k1","algo":"lokr"}',
          token: 5,
          password: 12345,
        },
        "node_info",
      ),
    ).toEqual({
      value: {
        env: { HF_TOKEN: "[redacted]", PATH: "/bin" },
        argv: ["--hf_token", "[redacted]", "--lr", "1"],
        list: [{ name: "API_KEY", value: "[redacted]" }],
        ss_network_args: '{"api_key":"[redacted]","algo":"lokr"}',
        token: 5,
        password: "[redacted]",
      },
      redactions: [
        { where: "node_info.env.HF_TOKEN" },
        { where: "node_info.argv[1]" },
        { where: "node_info.list[0].value" },
        { where: "node_info.ss_network_args" },
        { where: "node_info.password" },
      ],
    });
  });

  it("gives the same value back when there is nothing to hide", () => {
    const value = { a: [1, null, "x"], max_token_length: "75" };
    expect(redactJson(value, "node_info").value).toBe(value);
  });
});

it("hasRedacted finds the mark", () => {
  expect(hasRedacted('a = "[redacted]"')).toBe(true);
  expect(hasRedacted("a = [1]")).toBe(false);
});
