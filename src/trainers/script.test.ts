// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the variables are the shell's.
import { describe, expect, it } from "vitest";
import { recognise } from "./recognise.ts";

const script = `#!/bin/bash
# my training
export HF_HOME=/root/autodl-tmp/hf
RANK=16
LR="1e-4"
NAME=aki_v\${VERSION:-1}
NETWORK_ARGS=(conv_dim=4 algo=locon)
python prepare.py --data ./d
accelerate launch --mixed_precision bf16 --num_cpu_threads_per_process=8 \\
  "./sd-scripts/sdxl_train_network.py" \\
  --pretrained_model_name_or_path="/m/base.safetensors" \\
  --network_module lycoris.kohya \\
  --network_dim=$RANK --network_alpha \${ALPHA} \\
  --learning_rate "$LR" --max_train_epochs 10 \\
  --network_args "\${NETWORK_ARGS[@]}" \\
  --output_name "$NAME" $EXTRA_ARGS 2>&1 | tee log.txt
`;

describe("a shell script as the config", () => {
  const check = (read: ReturnType<typeof recognise>) => {
    expect(read).toMatchObject({ trainer: "kohya", kind: "run", format: "text" });
    expect(read.fields).toMatchObject({
      task_name: "aki_v1",
      base_arch: "sdxl",
      lora_rank: 16,
      learning_rate: 1e-4,
      epochs: 10,
      network_algo: "locon",
      conv_lora_rank: 4,
      base_model_path: "/m/base.safetensors",
    });
    // Nobody knows the environment's: empty, with the reason.
    expect(read.fields).not.toHaveProperty("lora_alpha");
    expect(read.warnings.map(({ code, path }) => [code, path])).toContainEqual([
      ...["not-a-number", "network_alpha"],
    ]);
    expect(read.config).toMatchObject({ network_dim: 16, network_alpha: "${ALPHA}" });
    expect(read.sources.lora_rank).toEqual({ from: "argument", name: "network_dim" });
  };

  it("is recognised by the command that starts its trainer", () => {
    check(recognise({ text: script, format: "text", path: "train.sh" }));
    check(recognise({ text: script, path: "train.sh" }));
    check(recognise({ text: script }));
    check(recognise({ text: script.replace(/^#!.*\n/, ""), format: "text" }));
    check(recognise({ text: script.replaceAll("\n", "\r\n"), path: "train.sh" }));
  });

  it("gives way to the command that the client saw", () => {
    const read = recognise({
      ...{ text: script, path: "train.sh" },
      command: ["python", "flux_train_network.py", "--network_dim", "4"],
    });
    expect(read.fields).toMatchObject({ base_arch: "flux", lora_rank: 4 });
    check(recognise({ text: script, path: "train.sh", command: ["bash", "train.sh"] }));
  });

  it("is read where most of its lines look like another format", () => {
    const lines = Array.from({ length: 20 }, (_, i) => `V${i}="${i}"`).join("\n");
    const text = `${lines}\nllamafactory-cli train --stage sft --do_train --model_name_or_path m --dataset a --lora_rank $V8\n`;
    expect(recognise({ text })).toMatchObject({
      trainer: "llama-factory",
      fields: { lora_rank: 8, data_dir: "data/a" },
    });
  });

  it("prefers the training to what prepares it, and stays unknown where nothing is known", () => {
    const text =
      "python src/musubi_tuner/wan_cache_latents.py --dataset_config d.toml --vae v\naccelerate launch src/musubi_tuner/wan_train_network.py --dit w --network_module networks.lora_wan --network_dim 32\n";
    expect(recognise({ text, path: "a.sh" })).toMatchObject({
      trainer: "musubi-tuner",
      fields: { base_arch: "wan", lora_rank: 32 },
    });
    const own = recognise({ text: "#!/bin/sh\npython mine.py --epochs 3\n", path: "a.sh" });
    expect(own).toMatchObject({ trainer: "unknown", fields: {} });
    expect(own.warnings.map(({ code }) => code)).toEqual(["not-recognised"]);
    // A broken file of another format is still refused with its place.
    expect(() => recognise({ text: 'a = 1\nb = "x\nc = 2\nd = 3\n' })).toThrow(
      /line|Invalid|string/,
    );
  });

  it("reads lora-scripts' own script", () => {
    const read = recognise({
      path: "train.sh",
      text: `#!/bin/bash
pretrained_model="./sd-models/model.ckpt" # base model path
train_unet_only=0
resolution="512,512"
network_dim=32
network_alpha=32
lr="1e-4"
output_name="aki"
multi_gpu=0
extArgs=()
launchArgs=()
if [[ $multi_gpu == 1 ]]; then launchArgs+=("--multi_gpu"); fi
if [ $train_unet_only == 1 ]; then extArgs+=("--network_train_unet_only"); fi
python -m accelerate.commands.launch \${launchArgs[@]} --num_cpu_threads_per_process=8 "./scripts/stable/train_network.py" \\
  --pretrained_model_name_or_path=$pretrained_model \\
  --resolution=$resolution --network_module=networks.lora \\
  --network_dim=$network_dim --network_alpha=$network_alpha \\
  --output_name=$output_name --learning_rate=$lr --max_train_epochs=10 \${extArgs[@]}
`,
    });
    expect(read).toMatchObject({
      trainer: "kohya",
      fields: {
        ...{ task_name: "aki", lora_rank: 32, lora_alpha: 32, resolution: "512,512", epochs: 10 },
        ...{ base_model_path: "./sd-models/model.ckpt", base_arch: "sd15", learning_rate: 1e-4 },
      },
    });
  });
});
