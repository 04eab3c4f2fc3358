// Each configuration that `config --for` writes, read back by the service: the same rank, alpha, algorithm, architecture.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { root } from "../scripts/local/processes.ts";
import { recognise } from "../src/trainers/recognise.ts";

/** Writes a file of each kind, and each trainer's configuration of it for each architecture that the trainer has. */
const program = `
import json, re, struct, sys
from pathlib import Path
from lora_ledger.commands import config_for
from lora_ledger.core.errors import CommandError

def file(name, tensors):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for key, (shape, value) in tensors.items():
        count = 1
        for extent in shape:
            count *= extent
        content = value or bytes(2 * count)
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path = Path(sys.argv[1]) / (name.replace(" ", "-") + ".safetensors")
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path

alpha = {"a.alpha": ([], struct.pack("<e", 16))}
lora = {"a.lora_down.weight": ([32, 8], None), "a.lora_up.weight": ([8, 32], None), **alpha}
files = {
    "lora": lora,
    "dora": {**lora, "a.dora_scale": ([8, 1], None)},
    "locon": {**lora, "c.lora_down.weight": ([8, 4, 3, 3], None), "c.alpha": ([], struct.pack("<e", 4))},
    "loha": {"a.hada_w1_a": ([8, 32], None), "a.hada_w1_b": ([32, 8], None), **alpha},
    "lokr": {"a.lokr_w1": ([8, 8], None), "a.lokr_w2_a": ([96, 32], None), "a.lokr_w2_b": ([32, 96], None), **alpha},
    "full lokr": {"a.lokr_w1": ([8, 8], None), "a.lokr_w2": ([96, 96], None)},
    "boft": {"a.oft_blocks": ([2, 4, 8, 8], None)},
    "ia3": {"a.weight": ([8], None), "a.on_input": ([], None)},
    "glora": {**{f"a.{k}.weight": (s, None) for k, s in (("a1", [8, 32]), ("a2", [32, 8]), ("b1", [8, 32]), ("b2", [32, 8]))}, **alpha},
    "full": {"a.diff": ([8, 8], None)},
}
out = []
for kind, tensors in files.items():
    path = file(kind, tensors)
    for trainer in config_for.TRAINERS:
        facts = config_for.facts_of_file(path)
        try:
            config_for.write(facts, trainer, "x")
            archs = [None]
        except CommandError as error:
            archs = re.sub(r".* trains: ", "", str(error)).split(", ") if "say it by --arch" in str(error) else []
        for arch in archs:
            facts = config_for.facts_of_file(path)
            facts.asked = arch
            try:
                text = config_for.write(facts, trainer, "x")[0]
            except CommandError:
                continue
            out.append({"trainer": trainer, "kind": kind, "arch": arch, "form": config_for.MAKERS[trainer][1], "text": text})
print(json.dumps(out))
`;

type Made = { trainer: string; kind: string; arch: string | null; form: string; text: string };

const folder = mkdtempSync(join(tmpdir(), "config-for-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { stdout, stderr } = spawnSync("python3", ["-c", program, folder], {
  encoding: "utf8",
  env: { ...process.env, PYTHONPATH: join(root, "client/src") },
  maxBuffer: 100_000_000,
});
const made: Made[] = JSON.parse(stdout || "[]");

/** The words of a command as a shell splits them; the client quotes with single quotes alone. */
const words = (command: string) =>
  [...command.replaceAll("\\\n", " ").matchAll(/(?:[^\s']|'[^']*')+/g)].map(([word]) =>
    word.replaceAll("'", ""),
  );

function readBack({ text, form }: Made) {
  if (form === "shell")
    return recognise({
      text: "",
      command: words(text.replace(/^#.*$/gm, "")),
    });
  const launch = /^# Run: (.*)$/m.exec(text)?.[1] ?? "";
  // A command that names the file counts where its script tells the architecture.
  const command = /_train_network\.py|train_network\.py/.test(launch) ? words(launch) : undefined;
  return recognise({
    text,
    path: `made.${form.replace(/\+.*/, "")}`,
    ...(command && { command: command.slice(command.indexOf("accelerate")) }),
  });
}

/** The file's alpha, or the rank where the trainer has no other. ai-toolkit's LoKr may keep it. */
function alphasOf({ trainer, arch, kind }: Made) {
  if (["diffusion-pipe", "diffsynth-studio", "flymyai"].includes(trainer)) return [32];
  // It has a scale, which is alpha by rank, and no alpha.
  if (trainer === "mlx-lm") return [undefined];
  if (trainer === "ai-toolkit" && !/^(?:sd15|sd2|sdxl)$/.test(arch ?? ""))
    return kind === "lokr" ? [16, 32] : [32];
  if (trainer === "diffusers" && /^(?:sd15|sdxl|sd3|lumina2|hidream)$/.test(arch ?? ""))
    return [32];
  return [16];
}

const rankless = ["full lokr", "boft", "ia3", "full"];

describe("config --for, read back", () => {
  it("makes configurations of each kind and trainer", () => {
    expect(stderr).toBe("");
    expect(new Set(made.map(({ kind }) => kind)).size).toBe(10);
    expect(made.length).toBeGreaterThan(150);
  });

  it.each(made.map((one) => [`${one.trainer}, ${one.kind}, ${one.arch}`, one] as const))(
    "%s",
    (_, one) => {
      const { trainer, kind, fields, warnings } = readBack(one);
      expect([kind, warnings.filter(({ code }) => code === "not-recognised")]).toEqual(["run", []]);
      if (one.trainer !== "lora-scripts") expect(trainer).toBe(one.trainer);
      const algorithm = one.kind.replace("full lokr", "lokr");
      const names: Record<string, string[]> = {
        locon: ["locon", "lora"],
        full: ["full", "native fine-tuning"],
      };
      expect(names[algorithm] ?? [algorithm]).toContain(fields.network_algo);
      expect(fields.lora_rank).toBe(rankless.includes(one.kind) ? undefined : 32);
      if (!rankless.includes(one.kind)) expect(alphasOf(one)).toContain(fields.lora_alpha);
      // This file says no more than whether the model is SDXL.
      const isSilent = one.trainer === "lora-easy-training-scripts" && one.arch === "sd15";
      if (one.arch && !isSilent) expect(fields.base_arch).toBe(one.arch.replace(/\/.*/, ""));
    },
  );
});
