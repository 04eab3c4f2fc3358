import type { JsonValue } from "../shared/json.ts";
import { archOrWord, type Dialect, type Draft, isOn, type Kind, toText } from "./dialect.ts";
import { at, isObject, lookUp } from "./formats/objects.ts";
import { stem } from "./path.ts";

/** Its ModelType enumeration, whose QWEN is the image model. */
const archOfType = (type: string) => (type === "QWEN" ? "qwen-image" : archOrWord(type));

/** Training methods that train no adapter of the model. */
const methods: Record<string, Kind> = {
  LORA: "run",
  FINE_TUNE: "full-fine-tune",
  FINE_TUNE_VAE: "full-fine-tune",
};

/** The folders of its concepts, and how their captions are split. */
function readConcepts(draft: Draft, list: JsonValue[]) {
  const concepts = list.filter(isObject);
  draft.read("data_dir", concepts.map((concept) => concept.path ?? "").filter(Boolean), "concepts");
  draft.read(
    "caption_tag_delim",
    at(concepts[0], "text.tag_delimiter"),
    "concepts.0.text.tag_delimiter",
  );
}

/** Its concepts file, which says where the images lie. */
export const onetrainerConcepts: Dialect = {
  trainer: "onetrainer",
  recognise: () => null,
  recogniseList: ([first]) =>
    isObject(first) && "path" in first && ("image" in first || "text" in first) ? "dataset" : null,
  table: {},
  refine: (draft, { list }) => {
    readConcepts(draft, list ?? []);
    draft.set("model_type", "stable-diffusion");
  },
};

/** OneTrainer's JSON: the keys that differ from its defaults. */
export const onetrainer: Dialect = {
  trainer: "onetrainer",
  recognise: ({ root }) =>
    typeof root.training_method === "string" && root.base_model_name !== undefined
      ? (lookUp(methods, root.training_method) ?? "unknown")
      : null,
  source: ({ root }) => root,
  table: {
    task_name: { keys: ["save_filename_prefix"] },
    model_type: { keys: [], otherwise: "stable-diffusion" },
    base_model_path: { keys: ["base_model_name"] },
    lora_rank: { keys: ["lora_rank"], otherwise: 16 },
    lora_alpha: { keys: ["lora_alpha"], otherwise: 1 },
    dropout: { keys: ["dropout_probability"], otherwise: 0 },
    batch_size: { keys: ["batch_size"], otherwise: 1 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], otherwise: 1 },
    epochs: { keys: ["epochs"], otherwise: 100 },
    learning_rate: { keys: ["learning_rate"], otherwise: 3e-6 },
    optimizer: { keys: ["optimizer.optimizer"], otherwise: "ADAMW" },
    scheduler: { keys: ["learning_rate_scheduler"], otherwise: "CONSTANT" },
    mixed_precision: { keys: [], otherwise: "fp16" },
    data_dir: { keys: [] },
    metadata_path: { keys: ["concept_file_name"], otherwise: "training_concepts/concepts.json" },
    output_dir: { keys: ["workspace_dir"], otherwise: "workspace/run" },
    log_dir: { keys: [] },
    sample_prompts: { keys: [] },
    save_every_n_epochs: { keys: [] },
    caption_tag_delim: { keys: [], otherwise: "," },
    base_arch: { keys: [] },
    network_algo: { keys: [] },
    resolution: { keys: ["resolution"], otherwise: "512" },
  },
  refine: (draft, { root }) => {
    const destination = toText(root.output_model_destination);
    if (!draft.has("task_name") && destination) draft.set("task_name", stem(destination));
    draft.otherwise("task_name", "model");
    draft.set("base_arch", archOfType(toText(root.model_type) ?? "STABLE_DIFFUSION_15"));

    const type = toText(root.peft_type)?.toLowerCase().replace(/_\d+$/, "");
    if (isOn(root.lora_decompose) && (type ?? "lora") === "lora") draft.set("network_algo", "dora");
    else if (type) draft.set("network_algo", type);
    else draft.otherwise("network_algo", "lora");

    if (root.train_dtype !== undefined && root.train_dtype !== null)
      draft.precision(root.train_dtype, "train_dtype", { float_32: "no" });
    const workspace = draft.fields.output_dir;
    if (workspace) draft.set("log_dir", `${workspace}/tensorboard`);
    else draft.otherwise("log_dir", "workspace/run/tensorboard");

    const concepts = Array.isArray(root.concepts) ? root.concepts : [];
    readConcepts(draft, concepts);
    if (!draft.has("data_dir")) draft.read("data_dir", root.concept_file_name, "concept_file_name");
    if (concepts.length > 0) draft.noDefault("metadata_path");

    const samples = (Array.isArray(root.samples) ? root.samples : []).filter(isObject);
    draft.read(
      "sample_prompts",
      samples.map((sample) => sample.prompt ?? "").filter(Boolean),
      "samples",
    );
    if (!draft.has("sample_prompts"))
      draft.read("sample_prompts", root.sample_definition_file_name, "sample_definition_file_name");
    if (root.save_every_unit === "EPOCH")
      draft.read("save_every_n_epochs", root.save_every, "save_every");
  },
};
