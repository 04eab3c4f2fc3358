// What a hostile configuration gets out of another owner's box: real agents on the whole stack, with
// a trainer that tells everything it knows wherever it can.
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Stack, startStack } from "../stack.ts";

let stack: Stack;
let bert: string;
let script: string;

/** A trainer that puts each value of its configuration and its environment into all that it leaves. */
const chatty = `
import base64, json, os, re, struct, sys, urllib.parse
text = open(sys.argv[2], encoding="utf-8").read()
values = dict(re.findall(r'^(\\w+) = "((?:[^"\\\\]|\\\\.)*)"', text, re.M))
told = {**values, **{k: v for k, v in os.environ.items() if re.search("PASSWORD|TOKEN|KEY|SECRET", k)}}
out = values["output_dir"]
os.makedirs(out, exist_ok=True)
def told_as(v):
    return [v, urllib.parse.quote(v), base64.b64encode(b"x" + v.encode()).decode(), json.dumps(v)]
metadata = {k: " ".join(told_as(v)) for k, v in told.items()}
header = json.dumps({"__metadata__": metadata, "w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
name = values.get("output_name", "x")
with open(os.path.join(out, name.replace("/", "_") + ".safetensors"), "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header + b"\\0" * 4)
state = os.path.join(out, name.replace("/", "_") + "-state")
os.makedirs(state, exist_ok=True)
for k, v in told.items():
    open(os.path.join(state, "of " + v.replace("/", "_")[:90] + ".txt"), "w").write(v)
    open(os.path.join(state, k + ".bin"), "wb").write(b"\\0" + v.encode())
for k, v in told.items():
    print("CHATTY", k, *told_as(v), flush=True)
print("steps:   1%|x| 1/100 [00:01<00:01, 1.0it/s, avr_loss=0.1]", file=sys.stderr, flush=True)
raise RuntimeError("not with " + values.get("wandb_api_key", ""))
`;

beforeAll(async () => {
  stack = await startStack();
  bert = await stack.key("bert");
  const folder = mkdtempSync(join(stack.home, "trainer-"));
  script = join(folder, "train_network.py");
  writeFileSync(script, chatty);
}, 120_000);
afterAll(async () => {
  await stack.stop();
});

const planted = {
  CLOUD_PASSWORD: "cloud-password-91c2e7",
  AWS_SECRET_ACCESS_KEY: "aws-secret-5b1f20",
  LEDGER_SECRET_LEDGER_KEY: "planted-ledger-77aa1",
  LEDGER_SECRET_HF_TOKEN: "planted-hf-40b9d",
  WANDB_API_KEY: "wandb key 3f9a61+x&y",
};

/** Runs a box of the admin's, which serves everyone or its owner, for one run; `key` is its own key. */
async function box(label: string, more: string[], shared = true) {
  const home = mkdtempSync(join(stack.home, "box-"));
  const { token } = await stack.api("/api/boxes/enrol", { shared });
  const { key } = await stack.api("/api/boxes/exchange", { token });
  const { ended } = stack.client(
    [
      ...[
        "agent",
        "--labels",
        label,
        "--once",
        "--exec",
        `python3 ${script} --config_file {config}`,
      ],
      ...["--spool", join(home, "spool"), "--work", join(home, "work"), ...more],
    ],
    { key, env: planted },
  );
  return { ...(await ended), key };
}

/** Queues a configuration with these lines for boxes of a label. */
async function queue(label: string, lines: string[], key = bert) {
  const output = mkdtempSync(join(stack.home, "out-"));
  const text = [`output_dir = "${output}"`, 'network_module = "networks.lora"', ...lines, ""];
  const { task_id } = await stack.api(
    "/api/tasks",
    { config: { text: text.join("\n"), path: "my.toml" }, queue: { labels: [label] } },
    key,
  );
  return { id: task_id as number, output };
}

/** All that the ledger shows of a run to its submitter: its answers, and its files' names and bytes. */
async function arrived(id: number, key = bert): Promise<string> {
  const answers = await Promise.all(
    [`/api/tasks/${id}`, `/api/tasks/${id}/logs`, `/api/weights?task_id=${id}`].map((path) =>
      stack.api(path, undefined, key),
    ),
  );
  const files = await Promise.all(
    answers[2].items.map(async (weight: { id: number; filename: string }) => {
      const { url } = await stack.api(
        `/api/weights/${weight.id}/download?redirect=false`,
        undefined,
        key,
      );
      const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
      return weight.filename.endsWith(".gz")
        ? gunzipSync(bytes).toString()
        : bytes.toString("latin1");
    }),
  );
  return JSON.stringify(answers) + files.join("\n");
}

const traces = (value: string) => {
  const all = [value, encodeURIComponent(value), JSON.stringify(value).slice(1, -1)];
  const base64 = Buffer.from(`x${value}`).toString("base64");
  return [...all, base64.slice(4, -4)];
};

/** Fails where a planted value, or the box's key, shows in what arrived. */
function expectNothing(text: string, key: string) {
  for (const value of [...Object.values(planted), key])
    for (const trace of traces(value)) expect(text.includes(trace), `${trace} arrived`).toBe(false);
}

describe("a box that serves another user", () => {
  it("fills nothing that the submitter typed or named", async () => {
    const { id } = await queue("typed", [
      'output_name = "x CLOUD_PASSWORD=[redacted]"',
      'training_comment = "LEDGER_KEY=[redacted]"',
      'hf_token = "[redacted]"',
      'ledger_key = "[redacted]"',
    ]);
    const { out, key } = await box("typed", ["--allow-secret", "HF_TOKEN"]);
    const text = await arrived(id);
    expect(text).toContain("CHATTY");
    expectNothing(text, key);
    expect(out).toContain("typed");
    expect((await stack.api(`/api/tasks/${id}`)).status).toBe("failed");
  }, 120_000);

  it("begins no run that asks for a secret which its owner did not allow", async () => {
    const { id } = await queue("asked", ['wandb_api_key = "0123456789abcdef0123456789"']);
    const { key } = await box("asked", []);
    const text = await arrived(id);
    expect(text).toContain("--allow-secret WANDB_API_KEY");
    expect(text).not.toContain("CHATTY");
    expectNothing(text, key);
  }, 120_000);

  it("fills what its owner allowed, and takes it out of all that is uploaded", async () => {
    const { id, output } = await queue("allowed", [
      'output_name = "aki"',
      'wandb_api_key = "0123456789abcdef0123456789"',
    ]);
    const { key, out } = await box("allowed", ["--allow-secret", "WANDB_API_KEY"]);
    const text = await arrived(id);
    expect(text, out).toMatch(/CHATTY wandb_api_key .*\[redacted\]/);
    expect(text).toContain("aki-state/of [redacted].txt");
    expect(text).toContain("aki-state/output_name.bin");
    expect(text).not.toContain("aki-state/wandb_api_key.bin");
    expect(out).toContain("wandb_api_key.bin holds the value of a secret and is not uploaded");
    expectNothing(text, key);
    // What was uploaded is what lies on the disk, hash for hash.
    const { items } = await stack.api(`/api/weights?task_id=${id}&kind=final`);
    expect(items, out).toHaveLength(1);
    const bytes = readFileSync(join(output, "aki.safetensors"));
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(items[0].sha256);
  }, 120_000);
});

describe("a box that serves its owner", () => {
  it("keeps the ledger's key and what is meant for marks alone from the trainer", async () => {
    const { id } = await queue("own", ['ledger_key = "[redacted]"'], stack.admin);
    const { key } = await box("own", [], false);
    const text = await arrived(id, stack.admin);
    expect(text).toContain("CHATTY CLOUD_PASSWORD");
    expect(text).not.toContain("CHATTY LEDGER_SECRET");
    expectNothing(text, key);
  }, 120_000);
});
