import type { JsonValue } from "../shared/json.ts";
import { runFields } from "../shared/run-fields.ts";
import { archOrWord, type Dialect, isOn, type Origin, toNumber, toText } from "./dialect.ts";
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

/** The architecture and the key that states it. */
function archOfModel(model: JsonObject): [arch: string, key: string] {
  const named = toText(model.arch);
  if (named) return [archOrWord(named), "model.arch"];
  const flag = flags.find((name) => isOn(model[`is_${name}`]));
  return flag === undefined
    ? ["sd15", "model.arch"]
    : [archOrWord(lookUp(flagWords, flag) ?? flag), `model.is_${flag}`];
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
    // `--name` fills the tag, and is the name only where that has no other text.
    const option = ["name", "n"].find((key) => toText(command?.options[key]) !== undefined);
    const stated = toText(at(root, "config.name"));
    const tag = toText(option && command?.options[option]) ?? stated ?? "";
    const name =
      (stated?.includes("[name]") ? withName(stated, tag) : (option && tag) || stated) ?? "";
    const by: Origin = option
      ? { from: "argument", name: option }
      : { from: "file", key: "config.name" };
    draft.set("task_name", name || undefined, by);
    const folder = withName(process.training_folder, tag);
    if (folder !== undefined)
      draft.set(
        "output_dir",
        name ? `${folder.replace(/\/$/, "")}/${name}` : folder,
        "training_folder",
      );
    draft.set("log_dir", withName(process.log_dir, tag), "log_dir");

    const [arch, archKey] = archOfModel(isObject(process.model) ? process.model : {});
    draft.set("base_arch", arch, archKey);
    const algo = draft.fields.network_algo;
    if (algo) draft.set("network_algo", algo.toLowerCase(), "network.type");
    // It writes 9999999999 for the rank of the full matrix into the copy of the file beside the weights.
    const rankKey = at(process, "network.rank") === undefined ? "network.linear" : "network.rank";
    const switchName = "network.lokr_full_rank";
    const isFull = draft.readLokr({
      ...{ rank: toNumber(at(process, rankKey)), rankKey, switchName },
      // On by default, and written by its UI into files of all types.
      isFull: isOn(at(process, switchName) ?? true),
    });
    if (isFull) {
      // The trainer puts the same huge number in the place of these.
      draft.drop("lora_alpha", "conv_lora_rank", "conv_alpha");
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
      else draft.set("lora_alpha", rank, draft.sources.lora_rank ?? rankKey);
    }
    if (draft.has("conv_lora_rank")) draft.otherwise("conv_alpha", draft.fields.conv_lora_rank);

    // Batches of a step, and an older setting that steps the optimizer every so often: both multiply.
    const counts = ["train.gradient_accumulation", "train.gradient_accumulation_steps"].flatMap(
      (key) => {
        const value = at(process, key);
        return value === undefined || value === null
          ? []
          : [{ key, value, count: toNumber(value) }];
      },
    );
    const [first, second] = counts;
    if (counts.some(({ count }) => count === -1)) {
      draft.noDefault("gradient_accumulation_steps");
      draft.warn(
        "accumulates-an-epoch",
        "gradient_accumulation = -1 accumulates over a whole epoch; the column is left empty.",
      );
    } else if (first && second) {
      const larger = (second.count ?? 1) > (first.count ?? 1) ? second : first;
      draft.read(
        "gradient_accumulation_steps",
        (first.count ?? 1) * (second.count ?? 1),
        larger.key,
      );
    } else if (first) draft.read("gradient_accumulation_steps", first.value, first.key);

    const dtype = at(process, "train.dtype");
    if (dtype !== undefined && dtype !== null)
      draft.precision(dtype, "train.dtype", { fp32: "no", float32: "no", float: "no" });

    const sets = (Array.isArray(process.datasets) ? process.datasets : []).filter(isObject);
    const paths = sets.map((set) => toText(set.folder_path) ?? toText(set.dataset_path));
    draft.readSeveral("data_dir", paths, "datasets", ", ");
    draft.set(
      "metadata_path",
      paths.find((path) => path?.endsWith(".json")),
      "datasets",
    );
    // A set's list is a pass at each of its resolutions; a set without one takes 512.
    const resolutions = sets.flatMap((set): (JsonValue | undefined)[] =>
      Array.isArray(set.resolution) ? set.resolution : [set.resolution],
    );
    if (resolutions.some((one) => one !== undefined))
      draft.readSeveral(
        "resolution",
        resolutions.map((one) => one ?? 512),
        "datasets.resolution",
        ",",
      );
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
