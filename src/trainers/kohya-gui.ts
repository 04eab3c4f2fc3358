import { archOf, archOfName } from "../shared/architectures.ts";
import {
  type Dialect,
  type Draft,
  FULL_RANK,
  isOn,
  type Kind,
  toNumber,
  toText,
} from "./dialect.ts";
import { type JsonObject, lookUp } from "./formats/objects.ts";
import { kohyaTable } from "./kohya.ts";

/** The GUI's own names that are not LyCORIS's or sd-scripts' own. */
const algorithms: Record<string, string> = {
  standard: "lora",
  "flux1 oft": "oft",
  "diag-oft": "oft",
};

/** `Kohya LoKr` and `LyCORIS/LoKr` are the algorithm; `Flux1`, `Anima` and their like name a model's LoRA. */
const algorithmOf = (type: string) => {
  const name = type.toLowerCase().replace(/^(?:lycoris\/|kohya )/, "");
  return lookUp(algorithms, name) ?? (archOf(name) ? "lora" : name);
};

/** What its tabs for other training save in the same form: all but `LoRA_type`. */
function kindWithoutLora(root: JsonObject): Kind | null {
  const isForm =
    root.epoch !== undefined &&
    toText(root.optimizer) !== undefined &&
    root.optimizer_type === undefined &&
    root.pretrained_model_name_or_path !== undefined &&
    ["max_train_epochs", "max_train_steps", "max_resolution", "lr_warmup"].some(
      (key) => root[key] !== undefined,
    );
  if (!isForm) return null;
  return toText(root.token_string) !== undefined || root.num_vectors_per_token !== undefined
    ? "embedding"
    : "full-fine-tune";
}

/** The switch of a model, such as `flux1_checkbox`, or its type; without either the plain script runs. */
function readArch(draft: Draft, root: JsonObject, type: string) {
  const box = Object.keys(root).find(
    (key) => key.endsWith("_checkbox") && isOn(root[key]) && archOf(key.slice(0, -9)),
  );
  if (isOn(root.sdxl)) return draft.set("base_arch", "sdxl", "sdxl");
  const [arch, key] = box
    ? [archOf(box.slice(0, -9)), box]
    : [archOf(type.replace(/ oft$/i, "")), "LoRA_type"];
  if (arch === "flux" && root.model_type === "chroma")
    return draft.set("base_arch", "chroma", "model_type");
  if (arch !== undefined) return draft.set("base_arch", arch, key);
  if (isOn(root.v2)) return draft.set("base_arch", "sd2", "v2");
  const named = archOfName(draft.fields.base_model_path, "diffusion");
  if (named) return draft.set("base_arch", named, "pretrained_model_name_or_path");
  if (root.sdxl === false) draft.set("base_arch", "sd15", "sdxl");
}

/**
 * How long it trains: epochs before steps, where 0 is unset in all of them; else `epoch`, by which the
 * GUI counts the steps itself. With a dataset file it does not, and sd-scripts' own 1600 steps hold.
 */
function readLength(draft: Draft, root: JsonObject) {
  const isSet = (key: string) => (toNumber(root[key]) ?? 0) > 0;
  if (isSet("max_train_epochs")) draft.read("epochs", root.max_train_epochs, "max_train_epochs");
  else if (isSet("max_train_steps"))
    draft.read("max_steps", root.max_train_steps, "max_train_steps");
  else if (toText(root.dataset_config)) draft.otherwise("max_steps", 1600);
  else if (isSet("epoch")) draft.read("epochs", root.epoch, "epoch");
}

const none = <C extends keyof typeof kohyaTable>(column: C) => ({
  keys: kohyaTable[column]?.keys ?? [],
});

/** The JSON of bmaltais/kohya_ss: its form's fields, where an empty text means unset. */
export const kohyaGui: Dialect = {
  trainer: "kohya-gui",
  recognise: ({ root }) => (root.LoRA_type === undefined ? kindWithoutLora(root) : "run"),
  source: ({ root }) => root,
  table: {
    ...kohyaTable,
    // A setting that a file leaves out keeps the value of the form before, which nobody can know.
    lora_rank: none("lora_rank"),
    lora_alpha: none("lora_alpha"),
    optimizer: { keys: ["optimizer"], otherwise: "AdamW" },
    resolution: { keys: ["max_resolution"] },
    epochs: { keys: [] },
    max_steps: { keys: [] },
    data_dir: { keys: ["dataset_config", "train_data_dir", "image_folder"] },
    conv_lora_rank: { keys: [] },
    conv_alpha: { keys: [] },
  },
  refine: (draft, { root }) => {
    const type = toText(root.LoRA_type) ?? "Standard";
    const algo = algorithmOf(type);
    const isDora = isOn(root.dora_wd) && algo === "locon";
    if (isDora) draft.set("network_algo", "dora", "dora_wd");
    else draft.set("network_algo", algo, "LoRA_type");
    // Without convolutions the conv fields of the form are unused; sd-scripts' own LoHa and LoKr take 0 for that.
    const isNative = /^kohya lo(?:ha|kr)$/i.test(type) && (toNumber(root.conv_dim) ?? 0) > 0;
    if (type.startsWith("LyCORIS/") || algo === "locon" || isNative) {
      draft.read("conv_lora_rank", root.conv_dim, "conv_dim");
      draft.read("conv_alpha", root.conv_alpha, "conv_alpha");
    }
    draft.readLokr({
      ...{ rank: toNumber(root.network_dim), rankKey: "network_dim" },
      isFull: isOn(root.full_matrix),
      switchName: "full_matrix",
    });
    if ((draft.fields.conv_lora_rank ?? 0) >= FULL_RANK) draft.drop("conv_lora_rank");
    // The form's 0 is "not set" for these.
    for (const column of ["save_every_n_epochs", "seed"] as const)
      if (draft.fields[column] === 0) draft.drop(column);
    readLength(draft, root);
    if (toNumber(root.learning_rate) === 0) {
      draft.drop("learning_rate");
      draft.read("learning_rate", root.unet_lr, "unet_lr");
    }
    readArch(draft, root, type);
  },
};
