import { archOfName } from "../shared/architectures.ts";
import { type Dialect, FULL_RANK, isOn, toNumber, toText } from "./dialect.ts";
import { lookUp } from "./formats/objects.ts";
import { kohyaTable } from "./kohya.ts";

/** The GUI's own names for what it trains; what LyCORIS offers is named behind a slash. */
const algorithms: Record<string, string> = {
  standard: "lora",
  flux1: "lora",
  "flux1 oft": "oft",
  "lora-fa": "lora-fa",
  "kohya locon": "locon",
  "kohya dylora": "dylora",
  "diag-oft": "oft",
};

const algorithmOf = (type: string) => {
  const name = type.toLowerCase().replace(/^lycoris\//, "");
  return lookUp(algorithms, name) ?? name;
};

const none = <C extends keyof typeof kohyaTable>(column: C) => ({
  keys: kohyaTable[column]?.keys ?? [],
});

/** The JSON of bmaltais/kohya_ss: its form's fields, where an empty text means unset. */
export const kohyaGui: Dialect = {
  trainer: "kohya-gui",
  recognise: ({ root }) => (root.LoRA_type === undefined ? null : "run"),
  source: ({ root }) => root,
  table: {
    ...kohyaTable,
    // A setting that a file leaves out keeps the value of the form before, which nobody can know.
    lora_rank: none("lora_rank"),
    lora_alpha: none("lora_alpha"),
    optimizer: { keys: ["optimizer"], otherwise: "AdamW" },
    resolution: { keys: ["max_resolution"] },
    epochs: { keys: ["max_train_epochs", "epoch"] },
    data_dir: { keys: ["dataset_config", "train_data_dir"] },
    conv_lora_rank: { keys: [] },
    conv_alpha: { keys: [] },
  },
  refine: (draft, { root }) => {
    const type = toText(root.LoRA_type) ?? "Standard";
    const algo = algorithmOf(type);
    draft.set("network_algo", isOn(root.dora_wd) && algo === "locon" ? "dora" : algo);
    // Without convolutions the conv fields of the form are unused.
    if (type.startsWith("LyCORIS/") || algo === "locon") {
      draft.read("conv_lora_rank", root.conv_dim, "conv_dim");
      draft.read("conv_alpha", root.conv_alpha, "conv_alpha");
    }
    const rank = toNumber(root.network_dim) ?? 0;
    if (algo === "lokr" && rank >= FULL_RANK) {
      draft.fullRank(`network_dim = ${rank} means the full matrix`, "network_dim");
    }
    if ((draft.fields.conv_lora_rank ?? 0) >= FULL_RANK) draft.drop("conv_lora_rank");
    // The form's 0 is "not set" for these.
    for (const column of ["epochs", "max_steps", "save_every_n_epochs", "seed"] as const)
      if (draft.fields[column] === 0) draft.drop(column);
    if (toText(root.max_train_epochs)) draft.drop("max_steps");
    if (toNumber(root.learning_rate) === 0) {
      draft.drop("learning_rate");
      draft.read("learning_rate", root.unet_lr, "unet_lr");
    }
    const arch = isOn(root.sdxl)
      ? "sdxl"
      : isOn(root.flux1_checkbox) || /^flux1/i.test(type)
        ? "flux"
        : isOn(root.sd3_checkbox)
          ? "sd3"
          : isOn(root.v2)
            ? "sd2"
            : archOfName(draft.fields.base_model_path, "diffusion");
    draft.set("base_arch", arch);
  },
};
