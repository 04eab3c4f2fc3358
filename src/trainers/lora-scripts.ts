import { archOrWord, type Dialect, toText } from "./dialect.ts";
import { at, isObject } from "./formats/objects.ts";
import { kohya, kohyaTable } from "./kohya.ts";

/** lora-scripts (秋叶): the same arguments, marked by its GUI or by where it saves them. */
export const loraScripts: Dialect = {
  ...kohya,
  trainer: "lora-scripts",
  recognise: (input) => {
    const type = toText(input.flat.model_train_type);
    if (type !== undefined && /inversion|embedding|controlnet/i.test(type)) return "unknown";
    if (type !== undefined) return /lora/i.test(type) ? "run" : "full-fine-tune";
    if (!/autosave[\\/]|lora-scripts/i.test(input.path)) return null;
    return kohya.recognise(input);
  },
  refine: (draft, input) => {
    kohya.refine?.(draft, input);
    // Its GUI keeps the prompts themselves and writes the file that sd-scripts wants at launch.
    if (!draft.has("sample_prompts"))
      draft.read("sample_prompts", input.flat.positive_prompts, "positive_prompts");
  },
};

/** A lora-scripts preset fills some of the GUI's fields and is no run. */
export const loraScriptsPreset: Dialect = {
  trainer: "lora-scripts",
  recognise: ({ root }) => {
    const both = isObject(root.metadata) && isObject(root.data);
    return both && Object.keys(root).length === 2 ? "preset" : null;
  },
  source: ({ root }) => root.data,
  table: Object.fromEntries(
    Object.entries(kohyaTable).map(([column, rule]) => [column, { keys: rule.keys }]),
  ),
  refine: (draft, { root }) => {
    draft.read("task_name", at(root, "metadata.name"), "metadata.name");
    const type = toText(at(root, "metadata.train_type"))?.replace(/-.*/, "");
    const model = toText(at(root, "data.model_type"));
    if (model === "chroma") draft.set("base_arch", model, "model_type");
    else
      draft.set(
        "base_arch",
        type === "sd" ? "sd15" : type && archOrWord(type),
        "metadata.train_type",
      );
  },
};
