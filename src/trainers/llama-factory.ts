import type { JsonValue } from "../shared/json.ts";
import type { Command } from "./command.ts";
import {
  type Column,
  type Dialect,
  type Draft,
  isOn,
  readLaunchedPrecision,
  toNumber,
  toText,
} from "./dialect.ts";
import { ConfigSyntaxError } from "./formats/fault.ts";
import { at, firstValue, isObject, type JsonObject, lookUp } from "./formats/objects.ts";
import { parseAs } from "./parse.ts";
import { basename } from "./path.ts";

/** transformers' own flags, else what the launcher says, which it takes where neither is set. */
function readPrecision(draft: Draft, top: JsonObject, command: Command | null) {
  if (isOn(top.bf16)) draft.set("mixed_precision", "bf16", "bf16");
  else if (isOn(top.pure_bf16)) draft.set("mixed_precision", "bf16", "pure_bf16");
  else if (isOn(top.fp16)) draft.set("mixed_precision", "fp16", "fp16");
  else readLaunchedPrecision(draft, command);
}

/** Its data sets are names in a file of their own. */
function readData(draft: Draft, dataset: JsonValue | undefined, folder: string, key: string) {
  const names = (toText(dataset, ",") ?? "").split(",").map((name) => name.trim());
  draft.readSeveral(
    "data_dir",
    names.filter(Boolean).map((name) => `${folder}/${name}`),
    key,
    ", ",
  );
}

/** LLaMA-Factory's YAML, JSON or arguments; `key=value` arguments override the file. */
export const llamaFactory: Dialect = {
  trainer: "llama-factory",
  recognise: ({ top }) => {
    if (top.model_name_or_path === undefined) return null;
    if (top.finetuning_type === undefined && top.stage === undefined) return null;
    if (top.export_dir !== undefined || (top.dataset === undefined && !isOn(top.do_train)))
      return "unknown";
    return /^(?:full|freeze)$/.test(toText(top.finetuning_type) ?? "lora")
      ? "full-fine-tune"
      : "run";
  },
  source: ({ top }) => top,
  table: {
    task_name: { keys: ["run_name"] },
    model_type: { keys: [], otherwise: "llm" },
    base_model_path: { keys: ["model_name_or_path"] },
    lora_rank: { keys: ["lora_rank"], otherwise: 8 },
    lora_alpha: { keys: ["lora_alpha"] },
    dropout: { keys: ["lora_dropout"], otherwise: 0 },
    batch_size: { keys: ["per_device_train_batch_size"], otherwise: 8 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], otherwise: 1 },
    epochs: { keys: ["num_train_epochs"], otherwise: 3 },
    max_steps: { keys: [] },
    learning_rate: { keys: ["learning_rate"], otherwise: 5e-5 },
    optimizer: { keys: ["optim"], otherwise: "adamw_torch" },
    scheduler: { keys: ["lr_scheduler_type"], otherwise: "linear" },
    mixed_precision: { keys: [], otherwise: "no" },
    data_dir: { keys: [] },
    metadata_path: { keys: [] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: ["logging_dir"] },
    save_every_n_epochs: { keys: [] },
    base_arch: { keys: [], otherwise: "llm" },
    network_algo: { keys: [] },
    seed: { keys: ["seed"], otherwise: 42 },
  },
  refine: (draft, { top, command }) => {
    const out = draft.fields.output_dir;
    if (!draft.has("task_name")) draft.set("task_name", out && basename(out), "output_dir");
    if (top.finetuning_type === "oft") draft.noDefault("lora_alpha");
    draft.otherwise("lora_alpha", 2 * (draft.fields.lora_rank ?? 8));
    // -1 means as many steps as the epochs have.
    if (toNumber(top.max_steps) !== -1) draft.read("max_steps", top.max_steps, "max_steps");
    readPrecision(draft, top, command);

    const type = toText(top.finetuning_type);
    const quantised = (toNumber(top.quantization_bit) ?? 0) > 0 && (type ?? "lora") === "lora";
    const algo = isOn(top.use_dora) ? "dora" : quantised ? "qlora" : undefined;
    if (algo) draft.set("network_algo", algo, algo === "dora" ? "use_dora" : "quantization_bit");
    else if (type) draft.set("network_algo", type, "finetuning_type");
    else draft.otherwise("network_algo", "lora");

    const dir = toText(top.dataset_dir) ?? "data";
    readData(draft, top.dataset, dir, "dataset");
    if (draft.has("data_dir")) {
      const info = `${dir}/dataset_info.json`;
      if (toText(top.dataset_dir)) draft.set("metadata_path", info, "dataset_dir");
      else draft.otherwise("metadata_path", info);
    }
    if (top.save_strategy === "epoch") draft.set("save_every_n_epochs", 1, "save_strategy");
  },
};

/** The v1 form: `model`, `peft_config` and `train_dataset`. */
export const llamaFactoryV1: Dialect = {
  trainer: "llama-factory",
  recognise: ({ root }) => {
    if (toText(root.model) === undefined) return null;
    if (isObject(root.peft_config))
      return root.peft_config.name === "full" || root.peft_config.name === "freeze"
        ? "full-fine-tune"
        : "run";
    return root.train_dataset !== undefined && root.model_class !== undefined
      ? "full-fine-tune"
      : null;
  },
  source: ({ top }) => top,
  table: {
    task_name: { keys: ["run_name"] },
    model_type: { keys: [], otherwise: "llm" },
    base_model_path: { keys: ["model"] },
    lora_rank: { keys: ["peft_config.r"], otherwise: 8 },
    lora_alpha: { keys: ["peft_config.lora_alpha"], otherwise: 16 },
    dropout: { keys: ["peft_config.lora_dropout"], otherwise: 0.05 },
    batch_size: { keys: ["micro_batch_size"], otherwise: 1 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"] },
    epochs: { keys: ["num_train_epochs"], otherwise: 3 },
    max_steps: { keys: ["max_steps"] },
    learning_rate: { keys: ["learning_rate"], otherwise: 1e-4 },
    optimizer: { keys: ["optim_config.name"] },
    scheduler: { keys: ["lr_scheduler_config.name"] },
    mixed_precision: { keys: [], otherwise: "bf16" },
    data_dir: { keys: ["train_dataset"] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: ["logging_dir"] },
    base_arch: { keys: [], otherwise: "llm" },
    network_algo: { keys: ["peft_config.name"] },
    seed: { keys: ["seed"], otherwise: 42 },
  },
  refine: (draft, { top }) => {
    const out = draft.fields.output_dir;
    if (!draft.has("task_name")) draft.set("task_name", out && basename(out), "output_dir");
    if (isOn(at(top, "peft_config.use_dora")))
      draft.set("network_algo", "dora", "peft_config.use_dora");
    // Its steps end a run before its epochs do.
    if (draft.has("max_steps")) draft.noDefault("epochs");
    if (top.bf16 === false) draft.set("mixed_precision", "no", "bf16");
    else if (top.bf16 !== undefined) readPrecision(draft, top, null);
  },
};

/** LLaMA Board's words for a type that none of the trainer's flags sets. */
const boardTypes: Record<string, string> = { pure_bf16: "bf16", fp32: "no" };

/**
 * What LLaMA Board saves of its form (llamafactory 0.9.5: webui/runner.py, `_build_config_dict` and
 * `_parse_train_args`): elements by their ids, without the model's path and the output folder. An element that
 * a file leaves out keeps the value of the form before, which nobody can know.
 */
export const llamaBoard: Dialect = {
  trainer: "llama-factory",
  recognise: ({ root }) => {
    const type = toText(root["top.finetuning_type"]);
    if (
      type === undefined ||
      (root["train.learning_rate"] ?? root["train.training_stage"]) === undefined
    )
      return null;
    return /^(?:full|freeze)$/.test(type) ? "full-fine-tune" : "run";
  },
  source: () => undefined,
  table: {
    model_type: { keys: [], otherwise: "llm" },
    optimizer: { keys: [], otherwise: "adamw_torch" },
    base_arch: { keys: [], otherwise: "llm" },
    seed: { keys: [], otherwise: 42 },
  },
  refine: (draft, { root }) => {
    const read = (column: Column, key: string) => draft.read(column, root[key], key);
    read("base_model_path", "top.model_name");
    const algo = toText(root["top.finetuning_type"]);
    const isLora = algo === "lora";
    if (isLora) {
      read("lora_rank", "train.lora_rank");
      read("lora_alpha", "train.lora_alpha");
      read("dropout", "train.lora_dropout");
    }
    read("batch_size", "train.batch_size");
    read("gradient_accumulation_steps", "train.gradient_accumulation_steps");
    read("epochs", "train.num_train_epochs");
    read("learning_rate", "train.learning_rate");
    read("scheduler", "train.lr_scheduler_type");
    const type = root["train.compute_type"];
    draft.read("mixed_precision", lookUp(boardTypes, String(type)) ?? type, "train.compute_type");

    const quantised = /^\d+$/.test(toText(root["top.quantization_bit"]) ?? "none");
    if (isLora && isOn(root["train.use_dora"])) draft.set("network_algo", "dora", "train.use_dora");
    else if (isLora && quantised) draft.set("network_algo", "qlora", "top.quantization_bit");
    else draft.set("network_algo", algo, "top.finetuning_type");
    const dir = toText(root["train.dataset_dir"]) ?? "data";
    const names = root["train.dataset"];
    const paths = (Array.isArray(names) ? names : [names]).flatMap((name) => toText(name) ?? []);
    if (paths.length > 0) {
      const data = paths.map((name) => `${dir}/${name}`);
      draft.readSeveral("data_dir", data, "train.dataset", ", ");
      draft.set("metadata_path", `${dir}/dataset_info.json`, "train.dataset_dir");
    }
    // Further arguments, in JSON, go over the form's.
    const more = extraOf(toText(root["train.extra_args"]));
    draft.read("optimizer", more.optim, "train.extra_args optim");
    draft.read("seed", more.seed, "train.extra_args seed");
    if (toNumber(more.max_steps) !== -1)
      draft.read("max_steps", more.max_steps, "train.extra_args max_steps");
  },
};

function extraOf(text: string | undefined): JsonObject {
  const parsed = text === undefined || text.length > 10_000 ? null : parseOrNull(text);
  return isObject(parsed) ? parsed : {};
}

function parseOrNull(text: string) {
  try {
    return parseAs("json", text);
  } catch (error) {
    // A form's text that is no JSON says nothing; the trainer refuses it.
    if (error instanceof ConfigSyntaxError) return null;
    throw error;
  }
}

/** `dataset_info.json`: the data behind the name of each dataset. */
export const llamaFactoryDataset: Dialect = {
  trainer: "llama-factory",
  recognise: ({ root }) => {
    const first = firstValue(root);
    const marks = ["file_name", "hf_hub_url", "ms_hub_url", "script_url"];
    return isObject(first) && marks.some((key) => at(first, key) !== undefined) ? "dataset" : null;
  },
  table: {},
  refine: (draft) => draft.otherwise("model_type", "llm"),
};
