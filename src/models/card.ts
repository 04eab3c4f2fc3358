import { stringify } from "yaml";
import type { JsonValue } from "../shared/json.ts";
import type { Provenance } from "./provenance.ts";

/** Hub ids of the models that architectures are named after, where a run names only a local file. */
const hubModels: Record<string, string> = {
  sd15: "stable-diffusion-v1-5/stable-diffusion-v1-5",
  sd2: "stabilityai/stable-diffusion-2-1",
  sdxl: "stabilityai/stable-diffusion-xl-base-1.0",
  sd3: "stabilityai/stable-diffusion-3-medium-diffusers",
  flux: "black-forest-labs/FLUX.1-dev",
  chroma: "lodestones/Chroma",
  lumina2: "Alpha-VLLM/Lumina-Image-2.0",
  "qwen-image": "Qwen/Qwen-Image",
  wan: "Wan-AI/Wan2.1-T2V-14B-Diffusers",
  "hunyuan-video": "hunyuanvideo-community/HunyuanVideo",
};

/** The base model as model hubs name it: from the run itself, else after its architecture. */
export function baseModelOf({ answer, run }: Provenance): string | null {
  const path = run?.baseModelPath ?? "";
  const isHubId =
    /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(path) &&
    !/\.(safetensors|ckpt|pt|bin|gguf)$/i.test(path);
  if (isHubId) return path;
  return hubModels[answer.base_arch ?? run?.baseArch ?? ""] ?? null;
}

/** A tag counts as a trigger word when this share of a dataset's captions holds it. */
const TRIGGER_SHARE = 0.8;
const MOST_TRIGGERS = 12;

type Frequencies = Record<string, number>;

function frequentTags(tags: Frequencies, images: number): [string, number][] {
  return Object.entries(tags)
    .map(([tag, count]): [string, number] => [tag, images > 0 ? count / images : 0])
    .filter(([tag, part]) => part >= TRIGGER_SHARE && tag.trim() !== "");
}

/** sd-scripts' `ss_tag_frequency`: a folder → tag → count, beside `ss_dataset_dirs`' image counts. */
function fromMetadata(metadata: Record<string, string> | null): [string, number][] {
  try {
    const folders: Record<string, Frequencies> = JSON.parse(metadata?.ss_tag_frequency ?? "{}");
    const counts: Record<string, { img_count?: number }> = JSON.parse(
      metadata?.ss_dataset_dirs ?? "{}",
    );
    return Object.entries(folders).flatMap(([folder, tags]) =>
      frequentTags(tags, counts[folder]?.img_count ?? Math.max(...Object.values(tags))),
    );
  } catch {
    // The file's own words; whatever it holds instead of JSON names no trigger.
    return [];
  }
}

/**
 * Words that call what was trained: tags that most captions hold, the most frequent first; where no
 * tags were recorded, the concept that a kohya folder is named after (`10_aki` → aki).
 */
export function triggerWords({ answer, metadata }: Provenance): string[] {
  const recorded = answer.datasets.flatMap((d) =>
    frequentTags(
      d.tag_distribution ?? {},
      d.image_count ?? Math.max(0, ...Object.values(d.tag_distribution ?? {})),
    ),
  );
  const tags = recorded.length ? recorded : fromMetadata(metadata);
  const words = tags.toSorted(([, a], [, b]) => b - a).map(([tag]) => tag.trim());
  const folders = answer.datasets.flatMap((d) => d.name.match(/^\d+_(\S.*)$/)?.[1] ?? []);
  return [...new Set(words.length ? words : folders)].slice(0, MOST_TRIGGERS);
}

/** A text as Markdown shows it: nothing in it is markup, and it stays on its line. */
export const plain = (text: unknown): string =>
  String(text ?? "")
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ")
    .trim()
    .replace(/[\\`*_{}[\]<>()#!|~&@$^]/g, "\\$&")
    // What is markup at the beginning of a line, or makes a link of a bare address.
    .replace(/^[-+=]/, "\\$&")
    .replace(/^\d+(?=\.)/, "$&\\")
    .replace(/:(?=\/\/)/g, "\\:")
    .replace(/\bwww(?=\.)/gi, "$&\\");

/** Several lines of text, as a quotation in which nothing is markup. */
const quoteLines = (text: string) =>
  text
    .split(/\r\n|[\n\r\u2028\u2029]/)
    .map((line) => `> ${plain(line)}`)
    .join("\n");

const code = (text: unknown) => {
  const line = String(text ?? "").replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
  const longest = (line.match(/`+/g) ?? []).reduce((most, run) => Math.max(most, run.length), 0);
  const fence = "`".repeat(longest + 1);
  return longest || line.startsWith(" ") || line.endsWith(" ")
    ? `${fence} ${line} ${fence}`
    : `${fence}${line}${fence}`;
};

const table = (rows: [string, unknown][]) => {
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.length
    ? ["| | |", "|---|---|", ...known.map(([name, value]) => `| ${name} | ${plain(value)} |`)].join(
        "\n",
      )
    : "";
};

const figure = (value: number | null) =>
  value === null ? "" : String(Number(value.toPrecision(6)));

export type CardModel = {
  name: string;
  description: string | null;
  taskType: string | null;
  tags: Record<string, string> | null;
};

/** Images of a card by their weight's id: where each is shown from. */
export type CardImages = Map<number, string>;

/**
 * A version as a model card: Markdown below the front matter that model hubs read. All that people
 * or files said is text in it, never markup or YAML.
 */
export function renderCard(found: Provenance, model: CardModel, images: CardImages): string {
  const { answer, run } = found;
  const { weight } = answer;
  const isLlm = run?.modelType === "llm" || answer.base_arch === "llm";
  const pipeline = model.taskType ?? (isLlm ? "text-generation" : "text-to-image");
  const triggers = triggerWords(found);
  const baseModel = baseModelOf(found);
  const shownSamples = answer.samples.filter((sample) => images.has(sample.weight_id)).slice(0, 12);
  const front: Record<string, JsonValue | undefined> = {
    license: answer.license ?? undefined,
    base_model: baseModel ?? undefined,
    base_model_relation: baseModel ? "adapter" : undefined,
    library_name: isLlm ? "peft" : "diffusers",
    pipeline_tag: pipeline,
    tags: [
      "lora",
      ...(answer.algorithm && answer.algorithm !== "lora" ? [answer.algorithm] : []),
      ...(answer.base_arch && answer.base_arch !== "llm" ? [answer.base_arch] : []),
      ...(isLlm ? [] : ["template:sd-lora"]),
      ...Object.entries(model.tags ?? {}).map(([name, value]) => `${name}:${value}`),
    ],
    instance_prompt: triggers.length ? triggers.join(", ") : undefined,
    widget: shownSamples.length
      ? shownSamples.map((sample) => ({
          text: sample.prompt ?? "",
          output: { url: images.get(sample.weight_id) ?? "" },
        }))
      : undefined,
  };
  const parts = [
    `---\n${stringify(front, { lineWidth: 0 })}---`,
    `# ${plain(`${answer.model} ${answer.version}`)}`,
    model.description ? quoteLines(model.description) : "",
    triggers.length ? `## Trigger words\n\n${triggers.map(code).join(", ")}` : "",
    shownSamples.length
      ? `## Samples\n\n${shownSamples
          .map(
            (sample) =>
              `![${plain(sample.prompt ?? sample.filename)}](<${images.get(sample.weight_id)}>)\n\n${plain(sample.prompt)}`,
          )
          .join("\n\n")}`
      : "",
    `## File\n\n${table([
      ["File", answer.filename],
      [answer.sha256_is === "verified" ? "SHA-256" : "SHA-256 (announced)", answer.sha256],
      ["Bytes", answer.size],
      ["Algorithm", answer.algorithm],
      ["Rank", answer.rank],
      ["Alpha", answer.alpha],
      ["Base architecture", answer.base_arch],
      ["Epoch", weight?.epoch],
      ["Step", weight?.step],
      ["Licence", answer.license],
    ])}`,
    run
      ? `## Training\n\n${table([
          ["Run", `${run.taskName} (${run.id})`],
          ["Trainer", run.trainer],
          ["Base model", run.baseModelPath],
          ["Learning rate", run.learningRate],
          ["Batch size", run.batchSize],
          ["Epochs", run.epochs],
          ["Optimizer", run.optimizer],
          ["Scheduler", run.scheduler],
          ["Resolution", run.resolution],
          ["Seed", run.seed],
          ["GPU", run.gpuInfo],
          ["Commit", run.gitCommit],
          ["Final loss", figure(run.finalLoss)],
          ["Hours", run.totalDurationSec === null ? "" : figure(run.totalDurationSec / 3600)],
        ])}`
      : "",
    answer.datasets.length
      ? `## Data\n\n${["| Dataset | Images | Repeats | Content hash |", "|---|---|---|---|", ...answer.datasets.map((d) => `| ${[d.name, d.image_count, d.repeats, d.content_hash].map(plain).join(" | ")} |`)].join("\n")}`
      : "",
    answer.notes ? `## Notes\n\n${quoteLines(answer.notes)}` : "",
    answer.review
      ? `## Review\n\n${plain(`${answer.review.decision} by ${answer.review.reviewer} at ${answer.review.at}`)}${answer.review.reason ? `\n\n${quoteLines(answer.review.reason)}` : ""}`
      : "",
  ];
  return `${parts.filter(Boolean).join("\n\n")}\n`;
}
