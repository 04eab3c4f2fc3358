import type { JsonValue } from "../shared/json.ts";
import { type Dialect, type Input, isOn, toText } from "./dialect.ts";
import { isObject, type JsonObject, setKey } from "./formats/objects.ts";
import { kohya, kohyaTable } from "./kohya.ts";

/** Sections hold arguments under `args`, and what describes the data under `dataset_args`. */
type Parts = { args: JsonObject; dataset: JsonObject };

const isSet = (value: JsonValue) => value !== "" && value !== false && value !== 0;

/** `{ conv_dim = 8 }` as the `conv_dim=8` that sd-scripts takes. */
const toWords = (value: JsonValue) =>
  isObject(value)
    ? Object.entries(value).flatMap(([key, item]) => {
        const text = typeof item === "boolean" ? String(item) : toText(item, ",");
        return text === undefined ? [] : [`${key}=${text}`];
      })
    : value;

/**
 * The arguments that its backend hands to sd-scripts: what is empty, 0 or false is left out, and the module
 * follows from the network's own arguments (LoRA_Easy_Training_scripts_Backend: utils/validation.py).
 */
function partsOf(root: JsonObject): Parts {
  const parts: Parts = { args: {}, dataset: {} };
  for (const section of Object.values(root)) {
    if (!isObject(section)) continue;
    for (const [kind, target] of [
      ["args", parts.args],
      ["dataset_args", parts.dataset],
    ] as const) {
      const values = section[kind];
      if (!isObject(values)) continue;
      for (const [key, value] of Object.entries(values))
        if (isSet(value)) setKey(target, key, /_args$/.test(key) ? toWords(value) : value);
      if (kind === "args") setModule(parts.args, values);
    }
  }
  return parts;
}

function setModule(args: JsonObject, values: JsonObject) {
  const network = values.network_args;
  if (isOn(values.fa)) args.network_module = "networks.lora_fa";
  if (!isObject(network)) return;
  if (network.algo !== undefined) args.network_module = "lycoris.kohya";
  else if (network.unit !== undefined) args.network_module = "networks.dylora";
}

const asKohya = (input: Input): Input => {
  const { args } = partsOf(input.root);
  return { ...input, top: args, flat: { network_module: "networks.lora", ...args }, command: null };
};

/** LoRA_Easy_Training_Scripts' TOML, which its backend makes sd-scripts' two files of. */
export const loraEasy: Dialect = {
  trainer: "lora-easy-training-scripts",
  recognise: ({ root }) => {
    const sections = ["general_args", "network_args", "optimizer_args", "saving_args"];
    const found = sections.filter((name) => {
      const section = root[name];
      return isObject(section) && (isObject(section.args) || isObject(section.dataset_args));
    });
    if (found.length < 2) return null;
    const mode = isObject(root.train_mode) ? toText(root.train_mode.train_mode) : undefined;
    return mode === undefined || mode === "lora" ? "run" : "unknown";
  },
  source: (input) => asKohya(input).flat,
  table: kohyaTable,
  refine: (draft, input) => {
    kohya.refine?.(draft, asKohya(input));
    const { args, dataset } = partsOf(input.root);
    if (isOn(args.sdxl)) draft.set("base_arch", "sdxl", "general_args.args.sdxl");
    draft.read("batch_size", dataset.batch_size, "dataset_args.batch_size");
    draft.read("resolution", dataset.resolution, "dataset_args.resolution");
    const { subsets } = input.root;
    const listed = (Array.isArray(subsets) ? subsets : []).slice(0, 1000).filter(isObject);
    draft.read(
      "data_dir",
      listed.flatMap(({ image_dir }) => toText(image_dir) ?? []),
      "subsets",
    );
  },
};
