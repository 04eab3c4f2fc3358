import { archOrWord, type Dialect, toText } from "./dialect.ts";
import { at, isObject, type JsonObject } from "./formats/objects.ts";
import { basename } from "./path.ts";

/** The path of the base model, the model itself before its parts. */
function modelPath(model: JsonObject): string | undefined {
  const known = ["diffusers_path", "ckpt_path", "checkpoint_path", "transformer_path"];
  const other = Object.keys(model).filter((key) => key.endsWith("_path"));
  for (const key of [...known, ...other]) {
    const path = toText(model[key]);
    if (path !== undefined) return path;
  }
  return undefined;
}

/** tdrussell/diffusion-pipe: a main TOML that names a dataset TOML. */
export const diffusionPipe: Dialect = {
  trainer: "diffusion-pipe",
  recognise: ({ root }) => {
    if (toText(at(root, "model.type")) === undefined || root.dataset === undefined) return null;
    return isObject(root.adapter) ? "run" : "full-fine-tune";
  },
  source: ({ root }) => root,
  table: {
    task_name: { keys: [] },
    model_type: { keys: [], otherwise: "stable-diffusion" },
    base_model_path: { keys: [] },
    lora_rank: { keys: ["adapter.rank"] },
    lora_alpha: { keys: [] },
    dropout: { keys: ["adapter.dropout"], otherwise: 0 },
    batch_size: { keys: [], otherwise: 1 },
    gradient_accumulation_steps: { keys: ["gradient_accumulation_steps"], otherwise: 1 },
    epochs: { keys: ["epochs"] },
    max_steps: { keys: ["max_steps"] },
    learning_rate: { keys: ["optimizer.lr"] },
    optimizer: { keys: ["optimizer.type"] },
    scheduler: { keys: ["lr_scheduler"], otherwise: "constant" },
    mixed_precision: { keys: [] },
    data_dir: { keys: ["dataset"] },
    output_dir: { keys: ["output_dir"] },
    log_dir: { keys: ["output_dir"] },
    save_every_n_epochs: { keys: ["save_every_n_epochs"] },
    base_arch: { keys: [] },
    network_algo: { keys: ["adapter.type"] },
  },
  refine: (draft, { root }) => {
    const { output_dir: out, lora_rank: rank } = draft.fields;
    draft.set("task_name", out && basename(out));
    const model = isObject(root.model) ? root.model : {};
    draft.set("base_model_path", modelPath(model));
    draft.set("base_arch", archOrWord(toText(model.type) ?? ""));
    // Its alpha is always the rank; the file must not name one.
    draft.otherwise("lora_alpha", rank);

    const batch = root.micro_batch_size_per_gpu;
    const sizes = Array.isArray(batch) ? batch.map((pair) => at(pair, "1")) : [batch];
    if (new Set(sizes).size === 1) draft.read("batch_size", sizes[0], "micro_batch_size_per_gpu");
    else {
      draft.noDefault("batch_size");
      draft.warn(
        "several-batch-sizes",
        "micro_batch_size_per_gpu differs by resolution; batch_size is left empty.",
        "micro_batch_size_per_gpu",
      );
    }
    if (model.dtype !== undefined) draft.precision(model.dtype, "model.dtype", { float32: "no" });
    draft.warn("dataset-file", "dataset names the file that lists the data's folders.", "dataset");
  },
};

/** Its dataset TOML: folders under `[[directory]]`. */
export const diffusionPipeDataset: Dialect = {
  trainer: "diffusion-pipe",
  recognise: ({ root }) =>
    Array.isArray(root.directory) && isObject(root.directory[0]) ? "dataset" : null,
  table: {},
  refine: (draft, { root }) => {
    const dirs = (Array.isArray(root.directory) ? root.directory : []).filter(isObject);
    draft.read("data_dir", dirs.map((dir) => dir.path ?? "").filter(Boolean), "directory");
    draft.read("resolution", root.resolutions, "resolutions");
    draft.set("model_type", "stable-diffusion");
  },
};
