/**
 * Runs as a small team would have them, made through the API: for the pictures in docs/ and for a look
 * at the pages without a GPU. The same each time, but for the clock.
 */
import { createHash } from "node:crypto";
import { crc32, deflateSync } from "node:zlib";
import { type Api, apiOf, type Json } from "./demo-api.ts";
import { random } from "./random.ts";

type Colour = [number, number, number];
const mix = (a: Colour, b: Colour, share: number): Colour => [
  a[0] + (b[0] - a[0]) * share,
  a[1] + (b[1] - a[1]) * share,
  a[2] + (b[2] - a[2]) * share,
];

type Scene = { sky: Colour; low: Colour; sun: Colour; hills: Colour[]; at: number };

/** Hills under a sun as an RGB PNG; `done` from 0 to 1 is how far its model is trained. */
function landscape(scene: Scene, done: number, seed: number, size = 160): Buffer {
  const draw = random(seed);
  const phases = scene.hills.map(() => draw() * 7);
  const rows: Buffer[] = [];
  const noise = (1 - done) ** 1.5 * 190;
  for (let y = 0; y < size; y++) {
    const row = Buffer.alloc(1 + size * 3);
    for (let x = 0; x < size; x++) {
      const [u, v] = [x / size, y / size];
      let colour = mix(scene.sky, scene.low, v * 1.25);
      const from = Math.hypot(u - scene.at, v - 0.36);
      colour = mix(colour, scene.sun, Math.max(0, Math.min(1, 1.15 - from * 8)));
      scene.hills.forEach((hill, n) => {
        const phase = phases[n] ?? 0;
        const wobble = Math.sin(u * 5 + phase) * 0.06 + Math.sin(u * 13 + phase * 2) * 0.025 * done;
        const top = 0.5 + n * 0.15 + wobble;
        if (v > top) colour = mix(hill, scene.low, Math.max(0, 0.4 - (v - top) * 2.2));
      });
      for (let c = 0; c < 3; c++)
        row[1 + x * 3 + c] = Math.max(0, Math.min(255, (colour[c] ?? 0) + (draw() - 0.5) * noise));
    }
    rows.push(row);
  }
  const chunk = (kind: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const out = Buffer.alloc(8 + body.length);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), 4 + body.length);
    return out;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.concat(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

const scenes: [string, Scene][] = [
  [
    "watercolor, a lake at dusk, red sun",
    {
      sky: [58, 68, 120],
      low: [244, 176, 140],
      sun: [255, 236, 190],
      hills: [
        [92, 80, 130],
        [64, 62, 104],
        [38, 44, 76],
      ],
      at: 0.62,
    },
  ],
  [
    "watercolor, misty mountains, morning",
    {
      sky: [150, 196, 220],
      low: [236, 242, 240],
      sun: [255, 250, 226],
      hills: [
        [128, 164, 178],
        [92, 132, 146],
        [52, 92, 102],
      ],
      at: 0.3,
    },
  ],
  [
    "watercolor, autumn valley",
    {
      sky: [112, 168, 214],
      low: [252, 226, 180],
      sun: [255, 244, 210],
      hills: [
        [206, 138, 78],
        [176, 92, 56],
        [108, 62, 48],
      ],
      at: 0.72,
    },
  ],
  [
    "watercolor, desert at night",
    {
      sky: [20, 26, 58],
      low: [96, 84, 132],
      sun: [240, 240, 250],
      hills: [
        [80, 66, 104],
        [54, 46, 82],
        [30, 28, 54],
      ],
      at: 0.4,
    },
  ],
];

const toml = (run: Json) => `# ${run.name}, as sd-scripts reads it

[model_arguments]
pretrained_model_name_or_path = "${run.base}"

[dataset_arguments]
train_data_dir = "/workspace/data/${run.group}"
resolution = "${run.resolution}"
caption_extension = ".txt"
shuffle_caption = true
keep_tokens = 1
enable_bucket = true

[additional_network_arguments]
network_module = "networks.lora"
network_dim = ${run.rank}
network_alpha = ${run.alpha}

[optimizer_arguments]
optimizer_type = "${run.optimizer}"
learning_rate = ${run.lr}
lr_scheduler = "${run.scheduler}"
lr_warmup_steps = ${run.warmup}

[training_arguments]
train_batch_size = ${run.batch}
max_train_epochs = ${run.epochs}
mixed_precision = "bf16"
seed = ${run.seed}
min_snr_gamma = ${run.snr}
noise_offset = ${run.offset}

[saving_arguments]
output_dir = "/workspace/output/${run.name}"
output_name = "${run.name}"
save_every_n_epochs = 2
`;

const subjects = [
  {
    group: "watercolor",
    base: "./models/sd_xl_base_1.0.safetensors",
    resolution: "1024,1024",
    tags: { kind: "style" },
  },
  {
    group: "aki",
    base: "./models/v1-5-pruned-emaonly.safetensors",
    resolution: "512,512",
    tags: { kind: "character" },
  },
  {
    group: "isometric",
    base: "./models/sd_xl_base_1.0.safetensors",
    resolution: "1024,1024",
    tags: { kind: "style", client: "in-house" },
  },
  {
    group: "porcelain",
    base: "./models/animagine-xl-3.1.safetensors",
    resolution: "1024,1024",
    tags: { kind: "concept" },
  },
];
const tagWords =
  "watercolor,landscape,no humans,scenery,mountain,lake,sky,cloud,tree,sunset,reflection,paper texture,brush strokes,soft light,forest,river,autumn,field,house,bridge,snow,hill,evening,mist,boat,path,flowers,horizon,stone,bird".split(
    ",",
  );
const gpus = ["NVIDIA GeForce RTX 4090", "NVIDIA L40S", "NVIDIA A100-SXM4-80GB"];
const hosts = ["runpod-eu-41", "vast-7731", "autodl-cn-08"];

/** Runs that are made. */
export const DEMO_RUNS = 48;

/** A run that still trains, as whoever goes on with it must know it. */
export type Training = {
  id: number;
  key: string;
  /** The last heartbeat's number. */
  seq: number;
  step: number;
  total: number;
  /** Loss that the curve nears. */
  floor: number;
};

/**
 * Makes the runs; the newest few are still running or waiting. Answers with ids by what they show, and with the
 * runs that still train. `made` is called after each.
 */
export async function seedDemo(url: string, key: string, made: () => void = () => {}) {
  const count = DEMO_RUNS;
  const training: Training[] = [];
  const api = apiOf(url, key);
  const draw = random(7);
  const pick = <T>(list: readonly T[]): T => {
    const found = list[Math.floor(draw() * list.length)];
    if (found === undefined) throw new Error("nothing to pick from");
    return found;
  };
  const shown = { running: 0, success: 0, failed: 0, samples: 0, final: 0 };
  for (let n = 1; n <= count; n++, made()) {
    const subject = subjects[n % subjects.length] ?? pick(subjects);
    const rank = pick([8, 16, 32, 32, 64, 128]);
    const lr = pick([5e-5, 1e-4, 1e-4, 2e-4, 4e-4]);
    const optimizer = pick(["AdamW8bit", "AdamW8bit", "Prodigy", "Lion", "AdamW"]);
    const run = {
      ...subject,
      name: `${subject.group}-r${rank}-${optimizer.toLowerCase()}-${String(n).padStart(2, "0")}`,
      rank,
      alpha: rank / 2,
      lr,
      optimizer,
      scheduler: pick(["cosine", "cosine_with_restarts", "constant_with_warmup"]),
      warmup: pick([0, 50, 100]),
      batch: pick([1, 2, 4]),
      epochs: pick([8, 10, 12]),
      seed: 1000 + n,
      snr: pick([1, 5, 5]),
      offset: pick([0, 0.05]),
    };
    const left = count - n;
    const state =
      left === 0 || left === 1
        ? "pending"
        : left < 5
          ? "running"
          : n % 9 === 4
            ? "failed"
            : n % 13 === 7
              ? "cancelled"
              : "success";
    const gpu = pick(gpus);
    const { task_id: id } = (await api("/api/tasks", {
      task_name: run.name,
      config: { text: toml(run), format: "toml", path: `/workspace/${run.name}.toml` },
      command: ["accelerate", "launch", "train_network.py", "--config_file", `${run.name}.toml`],
      experiment_group: run.group,
      base_arch: run.resolution === "512,512" ? "sd15" : "sdxl",
      tags: run.tags,
      git_commit: "25f961bc779bc79aef440813e3e8e92244ac5739",
      ...(n % 6 === 0 && {
        notes: "Best of the first sweep. Colours hold up to strength 0.9; try fewer repeats next.",
      }),
      ...(state !== "pending" && {
        gpu_info: gpu,
        cuda_version: "12.4",
        hourly_price: pick([0.44, 0.69, 1.19]),
        node_info: {
          hostname: hosts[n % hosts.length],
          python: "3.11.9",
          torch: "2.6.0+cu124",
          driver: "550.127.05",
        },
      }),
      datasets: [
        {
          name: `10_${run.group}`,
          source_path: `/workspace/data/${run.group}/10_${run.group}`,
          image_count: 64 + (n % 4) * 21,
          repeats: 10,
          tag_distribution: Object.fromEntries(
            tagWords.map((tag, at) => [
              tag,
              Math.max(1, Math.round(85 / (1 + at * 0.28) + draw() * 5)),
            ]),
          ),
        },
      ],
    })) as { task_id: number };
    if (state === "pending") continue;
    const total = 2400;
    const until =
      state === "running"
        ? Math.round(total * (0.35 + draw() * 0.4))
        : state === "failed"
          ? 640
          : state === "cancelled"
            ? 900
            : total;
    const floor =
      0.062 + draw() * 0.05 + (optimizer === "Lion" ? 0.02 : 0) - Math.log2(rank) * 0.003;
    const speed = 260 + draw() * 400;
    const begun = Date.now() - until * 1100;
    let seq = 1;
    for (; (seq - 1) * 400 < until; seq++) {
      const logs = Array.from({ length: Math.min(400, until - (seq - 1) * 400) }, (_, i) => {
        const step = (seq - 1) * 400 + i + 1;
        const mean = floor + 0.085 * Math.exp(-step / speed);
        const diverges = state === "failed" && n % 2 === 0 && step > 560 ? (step - 560) * 0.004 : 0;
        return {
          step,
          epoch: Math.ceil((step / total) * run.epochs),
          time: new Date(begun + step * 1100).toISOString(),
          metrics: {
            loss: mean * (0.72 + draw() * 0.56) + diverges,
            lr:
              lr *
              (run.scheduler === "cosine"
                ? (1 + Math.cos((Math.PI * step) / total)) / 2
                : Math.min(1, step / 100)),
            ...(step % 20 === 0 && {
              "gpu.0.util": 92 + draw() * 8,
              "gpu.0.mem_mb": 17_800 + draw() * 900,
            }),
          },
        };
      });
      await api(`/api/tasks/${id}/heartbeat`, {
        attempt: 1,
        seq,
        progress: {
          step: logs.at(-1)?.step ?? 0,
          total_steps: total,
          epoch: logs.at(-1)?.epoch ?? 0,
          total_epochs: run.epochs,
          ...(state === "running" && { eta_sec: Math.round((total - until) * 1.1) }),
        },
        logs,
        tail: `steps:  ${Math.round((until / total) * 100)}%|████████▍         | ${until}/${total} [${Math.floor((until * 1.1) / 60)}:14<12:40,  1.10s/it, avr_loss=${floor.toFixed(4)}]\n${state === "failed" ? `Traceback (most recent call last):\n  File "train_network.py", line 1042, in train\n    noise_pred = unet(noisy_latents, timesteps, text_encoder_conds)\n${n % 2 ? "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 512.00 MiB. GPU 0 has a total capacity of 23.64 GiB" : "RuntimeError: loss is NaN at step 640"}\n` : `saving checkpoint: /workspace/output/${run.name}/${run.name}-000006.safetensors\n`}`,
      });
    }
    if (left < 14 && subject.group === "watercolor") {
      shown.samples = id;
      for (let epoch = 2; epoch <= (until / total) * run.epochs; epoch += 2)
        for (const [at, [prompt, scene]] of scenes.entries())
          await upload(api, id, {
            bytes: landscape(scene, Math.min(1, (epoch / run.epochs) * 1.15), n * 10 + at),
            kind: "sample",
            filename: `sample/${run.name}_e${String(epoch).padStart(6, "0")}_0${at}_20260601120000_${run.seed}.png`,
            epoch,
            prompt,
          });
      for (let epoch = 4; epoch <= (until / total) * run.epochs; epoch += 4)
        await upload(api, id, {
          bytes: adapter(rank, run.alpha, n + epoch),
          kind: "checkpoint",
          filename: `${run.name}-${String(epoch).padStart(6, "0")}.safetensors`,
          epoch,
          step: Math.round((epoch / run.epochs) * total),
        });
      if (state === "success") shown.final = id;
      if (state === "success")
        await upload(api, id, {
          bytes: adapter(rank, run.alpha, n),
          kind: "final",
          filename: `${run.name}.safetensors`,
        });
    }
    if (state === "running") {
      shown.running = id;
      training.push({ id, key, seq: seq - 1, step: until, total, floor });
      continue;
    }
    const oom = state === "failed" && n % 2 === 1;
    await api(`/api/tasks/${id}/finish`, {
      attempt: 1,
      status: state,
      exit_code: state === "success" ? 0 : 1,
      ...(state === "failed" && {
        failure_reason: oom ? "oom" : "error",
        error_message: oom
          ? "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 512.00 MiB."
          : "RuntimeError: loss is NaN at step 640",
      }),
    });
    if (state === "success" || state === "failed") shown[state] = id;
  }
  const { items } = (await api(`/api/weights?task_id=${shown.final}&kind=final`)) as {
    items: { id: number }[];
  };
  const weight = items[0]?.id;
  if (weight === undefined) throw new Error("the final file is not there");
  await api("/api/models", {
    name: "watercolor-landscapes",
    description: "Soft watercolor landscapes on SDXL; holds up to strength 0.9.",
    task_type: "text-to-image",
  });
  await api("/api/models/watercolor-landscapes/versions", { weight_id: weight, notes: "First." });
  await api("/api/models/watercolor-landscapes/versions/1/submit", {});
  return { shown, training };
}

/** A real, small LoRA file: one module's two matrices and the keys that sd-scripts writes. */
function adapter(rank: number, alpha: number, seed: number): Buffer {
  const draw = random(seed);
  const width = 16;
  const header: Json = {
    __metadata__: {
      ss_network_dim: String(rank),
      ss_network_alpha: String(alpha),
      ss_network_module: "networks.lora",
      modelspec_sai_model_spec: "1.0.0",
    },
  };
  const name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q";
  const tensors: [string, number[]][] = [
    [`${name}.lora_down.weight`, [rank, width]],
    [`${name}.lora_up.weight`, [width, rank]],
    [`${name}.alpha`, []],
  ];
  let at = 0;
  for (const [tensor, shape] of tensors) {
    const size = shape.reduce((product, n) => product * n, 1) * 4;
    header[tensor] = { dtype: "F32", shape, data_offsets: [at, at + size] };
    at += size;
  }
  const values = Buffer.alloc(at);
  for (let offset = 0; offset < at; offset += 4) values.writeFloatLE((draw() - 0.5) * 0.02, offset);
  values.writeFloatLE(alpha, at - 4);
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, values]);
}

type File = {
  bytes: Buffer;
  kind: string;
  filename: string;
  epoch?: number;
  step?: number;
  prompt?: string;
};

async function upload(api: Api, taskId: number, { bytes, ...file }: File) {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const made = await api(`/api/tasks/${taskId}/weights`, {
    attempt: 1,
    size: bytes.length,
    sha256,
    ...file,
  });
  const { weight_id, upload: to } = made as {
    weight_id: number;
    upload: { url: string; headers: Record<string, string> } | null;
  };
  if (!to) return;
  const sent = await fetch(to.url, {
    method: "PUT",
    headers: to.headers,
    body: new Uint8Array(bytes),
  });
  if (!sent.ok) throw new Error(`${file.filename}: ${sent.status} ${await sent.text()}`);
  await api(`/api/weights/${weight_id}/complete`, {});
}
