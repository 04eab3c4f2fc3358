import type { JsonValue } from "../shared/json.ts";
import { runFields } from "../shared/run-fields.ts";
import { archOrWord, type Dialect, FULL_RANK, isOn, toNumber, toText } from "./dialect.ts";
import { at, isObject, type JsonObject, lookUp } from "./formats/objects.ts";

const processOf = (root: JsonObject): JsonObject => {
  const process = at(root, "config.process.0");
  return isObject(process) ? process : {};
};

/** Flags of older files, in place of `arch`; the words behind `is_` that are no architecture's name. */
const flags = [
  "xl",
  "flux",
  "v3",
  "v2",
  "lumina2",
  "auraflow",
  "pixart",
  "pixart_sigma",
  "ssd",
  "vega",
];
const flagWords: Record<string, string> = { v3: "sd3", v2: "sd2" };

function archOfModel(model: JsonObject): string {
  const named = toText(model.arch);
  if (named) return archOrWord(named);
  const flag = flags.find((name) => isOn(model[`is_${name}`]));
  return flag === undefined ? "sd15" : archOrWord(lookUp(flagWords, flag) ?? flag);
}

/** Models with a U-Net keep `linear_alpha`; for every other one alpha is the rank, whatever it says. */
const keepsAlpha = new Set(["sd15", "sd2", "sdxl"]);

/** `[name]` in any value stands for the job's name, where both are as short as names are. */
function withName(value: JsonValue | undefined, name: string): string | undefined {
  const text = toText(value);
  const isShort =
    text &&
    text.length <= runFields.output_dir.longest &&
    name.length <= runFields.task_name.longest;
  return isShort ? text.replaceAll("[name]", name) : text;
}

/** ostris/ai-toolkit: `job` and `config.process[]`, of which the first process is the training. */
export const aiToolkit: Dialect = {
  trainer: "ai-toolkit",
  recognise: ({ root }) => {
    if (root.job === undefined || !Array.isArray(at(root, "config.process"))) return null;
    const process = processOf(root);
    if (!isObject(process.train)) return "unknown";
    return isObject(process.network) ? "run" : "full-fine-tune";
  },
  source: ({ root }) => processOf(root),
  table: {
    task_name: { keys: [] },
    model_type: { keys: [], otherwise: "stable-diffusion" },
    base_model_path: { keys: ["model.name_or_path"] },
    lora_rank: { keys: ["network.rank", "network.linear"], otherwise: 4 },
    lora_alpha: { keys: ["network.linear_alpha", "network.alpha"], otherwise: 1 },
    dropout: { keys: ["network.dropout"], otherwise: 0 },
    conv_lora_rank: { keys: ["network.conv"] },
    conv_alpha: { keys: ["network.conv_alpha"] },
    batch_size: { keys: ["train.batch_size"], otherwise: 1 },
    gradient_accumulation_steps: { keys: [], otherwise: 1 },
    max_steps: { keys: ["train.steps"], otherwise: 1000 },
    learning_rate: { keys: ["train.lr"], otherwise: 1e-6 },
    optimizer: { keys: ["train.optimizer"], otherwise: "adamw" },
    scheduler: { keys: ["train.lr_scheduler"], otherwise: "constant" },
    mixed_precision: { keys: [], otherwise: "no" },
    data_dir: { keys: [] },
    metadata_path: { keys: [] },
    output_dir: { keys: [] },
    log_dir: { keys: ["log_dir"] },
    sample_prompts: { keys: [] },
    base_arch: { keys: [] },
    network_algo: { keys: ["network.type"], otherwise: "lora" },
    seed: { keys: ["training_seed"] },
    resolution: { keys: [] },
  },
  refine: (draft, { root, command }) => {
    const process = processOf(root);
    const name = toText(command?.options.name) ?? toText(at(root, "config.name")) ?? "";
    draft.set("task_name", name || undefined);
    const folder = withName(process.training_folder, name);
    if (folder !== undefined)
      draft.set("output_dir", name ? `${folder.replace(/\/$/, "")}/${name}` : folder);
    draft.set("log_dir", withName(process.log_dir, name));

    const arch = archOfModel(isObject(process.model) ? process.model : {});
    draft.set("base_arch", arch);
    // It writes 9999999999 for the rank of the full matrix into the copy of the file beside the weights.
    const rank = toNumber(at(process, "network.rank") ?? at(process, "network.linear")) ?? 0;
    if (
      isOn(at(process, "network.lokr_full_rank")) ||
      (rank >= FULL_RANK && draft.fields.network_algo === "lokr")
    ) {
      draft.fullRank("lokr_full_rank trains the full matrix", "network.rank", "network.linear");
      draft.noDefault("lora_alpha");
    } else if (!keepsAlpha.has(arch)) {
      const rank = draft.fields.lora_rank ?? 4;
      const alpha = draft.fields.lora_alpha;
      if (alpha !== undefined && alpha !== rank)
        draft.warn(
          "alpha-is-rank",
          `ai-toolkit trains ${arch} with an alpha as large as the rank (${rank}), whatever linear_alpha says.`,
          "network.linear_alpha",
        );
      if (alpha === undefined) draft.otherwise("lora_alpha", rank);
      else draft.set("lora_alpha", rank);
    }
    if (draft.has("conv_lora_rank")) draft.otherwise("conv_alpha", draft.fields.conv_lora_rank);

    const steps =
      at(process, "train.gradient_accumulation") ??
      at(process, "train.gradient_accumulation_steps");
    if (toNumber(steps) === -1) {
      draft.noDefault("gradient_accumulation_steps");
      draft.warn(
        "accumulates-an-epoch",
        "gradient_accumulation = -1 accumulates over a whole epoch; the column is left empty.",
      );
    } else draft.read("gradient_accumulation_steps", steps, "train.gradient_accumulation");

    const dtype = at(process, "train.dtype");
    if (dtype !== undefined && dtype !== null)
      draft.precision(dtype, "train.dtype", { fp32: "no", float32: "no", float: "no" });

    const sets = (Array.isArray(process.datasets) ? process.datasets : []).filter(isObject);
    const paths = sets.map((set) => toText(set.folder_path) ?? toText(set.dataset_path));
    draft.read(
      "data_dir",
      paths.filter((path) => path !== undefined),
      "datasets",
    );
    draft.set(
      "metadata_path",
      paths.find((path) => path?.endsWith(".json")),
    );
    const resolution = sets.map((set) => set.resolution).find((value) => value !== undefined);
    draft.read("resolution", resolution, "datasets.resolution");
    if (sets.length > 0) draft.otherwise("resolution", "512");

    const samples = at(process, "sample.samples");
    const prompts = Array.isArray(samples)
      ? samples.map((sample) => (isObject(sample) ? toText(sample.prompt) : undefined))
      : at(process, "sample.prompts");
    const texts = Array.isArray(prompts)
      ? prompts.filter((prompt) => prompt !== undefined)
      : prompts;
    draft.read("sample_prompts", texts, "sample.prompts");
  },
};
