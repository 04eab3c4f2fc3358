import { archOf, archOfName } from "../shared/architectures.ts";
import type { JsonValue } from "../shared/json.ts";
import { runFields } from "../shared/run-fields.ts";
import {
  archOrWord,
  type Dialect,
  type Draft,
  FULL_RANK,
  type Input,
  isOn,
  type Kind,
  type Table,
  toNumber,
  toText,
} from "./dialect.ts";
import { at, firstValue, isObject, type JsonObject, lookUp, setKey } from "./formats/objects.ts";

/**
 * Arguments of sd-scripts (`library/train_util.py`, `train_network.py`) and their defaults. Python's
 * argparse takes abbreviations, and people do write `--max_train_epoch`.
 */
export const kohyaTable: Table = {
  task_name: { keys: ["output_name"] },
  model_type: { keys: [], otherwise: "stable-diffusion" },
  base_model_path: { keys: ["pretrained_model_name_or_path"] },
  lora_rank: { keys: ["network_dim"], otherwise: 4 },
  lora_alpha: { keys: ["network_alpha"], otherwise: 1 },
  dropout: { keys: ["network_dropout"], otherwise: 0 },
  conv_lora_rank: { keys: [] },
  conv_alpha: { keys: [] },
  batch_size: { keys: ["train_batch_size"], otherwise: 1 },
  gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], otherwise: 1 },
  epochs: { keys: ["max_train_epochs", "max_train_epoch"] },
  max_steps: { keys: ["max_train_steps", "max_train_step"] },
  learning_rate: { keys: ["learning_rate", "unet_lr"], otherwise: 2e-6 },
  optimizer: { keys: ["optimizer_type"], otherwise: "AdamW" },
  scheduler: { keys: ["lr_scheduler_type", "lr_scheduler"], otherwise: "constant" },
  mixed_precision: { keys: ["mixed_precision"], otherwise: "no" },
  data_dir: { keys: ["dataset_config", "train_data_dir"] },
  metadata_path: { keys: ["in_json"] },
  output_dir: { keys: ["output_dir"] },
  log_dir: { keys: ["logging_dir"] },
  sample_prompts: { keys: ["sample_prompts"] },
  save_every_n_epochs: { keys: ["save_every_n_epochs", "save_every_n_epoch"] },
  caption_tag_delim: { keys: ["caption_separator"], otherwise: "," },
  base_arch: { keys: [] },
  network_algo: { keys: [] },
  seed: { keys: ["seed"] },
  resolution: { keys: ["resolution"] },
};

/** `key=value` lists such as `network_args`, split at the first `=`; a single text is a list of one. */
function splitArgs(value: JsonValue | undefined): JsonObject {
  const found: JsonObject = {};
  const words = Array.isArray(value) ? value : typeof value === "string" ? [value] : [];
  for (const word of words) {
    if (typeof word !== "string") continue;
    const cut = word.indexOf("=");
    if (cut > 0) setKey(found, word.slice(0, cut).trim(), word.slice(cut + 1).trim());
  }
  return found;
}

/** What `network_module`, `network_args` and the ranks come to, in sd-scripts and musubi-tuner. */
export function refineNetwork(draft: Draft, { flat }: Input) {
  const args = splitArgs(flat.network_args);
  const module = toText(flat.network_module) ?? "";
  const isLycoris = /lycoris/i.test(module);
  const named = toText(args.algo)?.toLowerCase();
  const variant = /(?:^|\.)(dylora|lora_fa|oft|loha|lokr)/.exec(module)?.[1]?.replace("_", "-");

  // LyCORIS gives convolutions the rank of the network unless a setting names another; LoRA leaves them out.
  draft.read("conv_lora_rank", args.conv_dim ?? flat.conv_dim, "network_args conv_dim");
  if (draft.has("conv_lora_rank") || isLycoris)
    draft.read("conv_alpha", args.conv_alpha ?? flat.conv_alpha, "network_args conv_alpha");
  if (args.dropout !== undefined) {
    draft.drop("dropout");
    draft.read("dropout", args.dropout, "network_args dropout");
  }

  const conv = (draft.fields.conv_lora_rank ?? 0) > 0;
  let algo = variant ?? named ?? (conv && !isLycoris ? "locon" : "lora");
  if (/oft/.test(algo)) algo = algo === "boft" ? "boft" : "oft";
  if (isOn(args.dora_wd) && /^(?:lora|locon)$/.test(algo)) algo = "dora";
  if (module !== "" || named !== undefined) draft.set("network_algo", algo);
  else draft.otherwise("network_algo", algo);

  const rank = toNumber(flat.network_dim);
  if (
    rank !== undefined &&
    rank >= FULL_RANK &&
    (algo === "lokr" || rank > runFields.lora_rank.max)
  ) {
    draft.fullRank(`network_dim = ${rank} means the full matrix`, "network_dim");
  }
  if (isLycoris) {
    const dim = rank ?? 4;
    if (dim > 0 && dim < FULL_RANK) draft.otherwise("conv_lora_rank", dim);
    draft.otherwise("conv_alpha", toNumber(flat.network_alpha) ?? 1);
  } else if (conv) draft.otherwise("conv_alpha", 1);
  if ((draft.fields.conv_lora_rank ?? 0) >= FULL_RANK) draft.drop("conv_lora_rank");

  // sd-scripts takes an alpha of 0 for "as large as the rank".
  const actual = draft.fields.lora_rank ?? 4;
  if (draft.fields.lora_alpha === 0 && rank !== undefined && rank < FULL_RANK) {
    draft.set("lora_alpha", actual);
    draft.warn(
      "alpha-is-rank",
      "network_alpha = 0 means an alpha as large as the rank.",
      "network_alpha",
    );
  }
}

/** Epochs win over steps, old flags name optimizers, a dataset file wins over folders. */
export function refineTraining(draft: Draft, { flat }: Input) {
  if (draft.has("epochs")) {
    if (draft.has("max_steps"))
      draft.warn(
        "steps-overridden",
        `max_train_steps = ${draft.fields.max_steps} is not used, because max_train_epochs is set.`,
        "max_train_steps",
      );
    draft.drop("max_steps");
  } else draft.otherwise("max_steps", 1600);

  if (isOn(flat.use_8bit_adam)) draft.set("optimizer", "AdamW8bit");
  else if (isOn(flat.use_lion_optimizer)) draft.set("optimizer", "Lion");

  if (toText(flat.dataset_config)) {
    draft.drop("metadata_path");
    draft.warn(
      "dataset-file",
      "dataset_config names the file that lists the data; train_data_dir and in_json are not used.",
      "dataset_config",
    );
  }
}

/** Scripts of sd-scripts that train a network, and the architecture each is for. */
export const networkScripts: Record<string, string> = {
  train_network: "sd15",
  sdxl_train_network: "sdxl",
  sd3_train_network: "sd3",
  flux_train_network: "flux",
  lumina_train_network: "lumina2",
  anima_train_network: "anima",
  hunyuan_image_train_network: "hunyuan-image",
};

const fullScripts = new Set([
  "train_db",
  "fine_tune",
  "sdxl_train",
  "sd3_train",
  "flux_train",
  "lumina_train",
  "anima_train",
]);

function archOfRun({ flat, command }: Input, baseModel: string | undefined): string | undefined {
  const script = lookUp(networkScripts, command?.script ?? "");
  const trainType = toText(flat.model_train_type)?.replace(/-.*/, "");
  const types: Record<string, string> = { sd: "sd15", hunyuan: "hunyuan-image" };
  const module = /(?:^|\.)(?:lora|oft)_(flux|sd3|lumina|anima|hunyuan_image)/.exec(
    toText(flat.network_module) ?? "",
  )?.[1];
  const byFiles = flat.ae ? "flux" : flat.t5xxl ? (flat.clip_g ? "sd3" : "flux") : undefined;
  const arch =
    script ??
    (trainType && (lookUp(types, trainType) ?? archOrWord(trainType))) ??
    archOf(module) ??
    byFiles;
  if (arch === "flux" || (arch === undefined && flat.model_type === "chroma"))
    return flat.model_type === "chroma" ? "chroma" : "flux";
  if (isOn(flat.v2) && (arch === "sd15" || arch === undefined)) return "sd2";
  return arch ?? archOfName(baseModel, "diffusion");
}

const hasNetwork = (flat: JsonObject) =>
  Object.keys(flat).some((key) => /^network_(?!train_)/.test(key));

/** sd-scripts: one flat set of arguments, whose TOML sections count for nothing. */
export const kohya: Dialect = {
  trainer: "kohya",
  recognise: ({ flat, command }) => {
    const script = command?.script ?? "";
    if (lookUp(networkScripts, script)) return "run";
    if (fullScripts.has(script)) return "full-fine-tune";
    if (toText(flat.pretrained_model_name_or_path) === undefined) return null;
    if (hasNetwork(flat)) return "run";
    const trains = [
      "train_data_dir",
      "dataset_config",
      "max_train_steps",
      "max_train_epochs",
      "optimizer_type",
    ];
    return command === null && trains.filter((key) => key in flat).length > 1
      ? "full-fine-tune"
      : null;
  },
  table: kohyaTable,
  refine: (draft, input) => {
    refineNetwork(draft, input);
    refineTraining(draft, input);
    draft.set("base_arch", archOfRun(input, draft.fields.base_model_path));
  },
};

const firstOf = (values: (JsonValue | undefined)[]) =>
  values.find((value) => value !== undefined && value !== "");

/** Reads what a dataset file says of the whole: folders, and the first batch size and resolution. */
export function readDatasets(
  draft: Draft,
  root: JsonObject,
  folders: (set: JsonObject) => (JsonValue | undefined)[],
) {
  const sets = Array.isArray(root.datasets) ? root.datasets.filter(isObject) : [];
  const general = isObject(root.general) ? root.general : {};
  const dirs = sets.flatMap(folders).flatMap((dir) => toText(dir) ?? []);
  draft.read("data_dir", dirs, "datasets");
  for (const [column, key] of [
    ["batch_size", "batch_size"],
    ["resolution", "resolution"],
  ] as const)
    draft.read(column, firstOf([...sets.map((set) => set[key]), general[key]]), key);
}

const subsetsOf = (set: JsonObject) =>
  Array.isArray(set.subsets) ? set.subsets.filter(isObject) : [];

/** A dataset file of sd-scripts (`--dataset_config`), or its metadata JSON. */
export const kohyaDataset: Dialect = {
  trainer: "kohya",
  recognise: ({ root }): Kind | null => {
    if (isObject(at(root, "datasets.0")) && Array.isArray(at(root, "datasets.0.subsets")))
      return "dataset";
    const first = firstValue(root);
    return isObject(first) && ("caption" in first || "tags" in first) && !("type" in first)
      ? "dataset"
      : null;
  },
  table: {},
  refine: (draft, { root }) => {
    readDatasets(draft, root, (set) => subsetsOf(set).map((subset) => subset.image_dir));
    const sets = Array.isArray(root.datasets) ? root.datasets.filter(isObject) : [];
    const subsets = sets.flatMap(subsetsOf);
    const metadata = subsets.map((subset) => subset.metadata_file);
    draft.read(
      "metadata_path",
      metadata.filter((path) => typeof path === "string"),
      "metadata_file",
    );
    const separators = [...subsets, ...sets, root.general].map((layer) =>
      at(layer, "caption_separator"),
    );
    draft.read("caption_tag_delim", firstOf(separators), "caption_separator");
    draft.set("model_type", "stable-diffusion");
  },
};
