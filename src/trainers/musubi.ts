import { archOfName } from "./arch.ts";
import { type Dialect, type Input, toText } from "./dialect.ts";
import { at, isObject, lookUp } from "./formats/objects.ts";
import {
  kohyaTable,
  networkScripts,
  readDatasets,
  refineNetwork,
  refineTraining,
} from "./kohya.ts";

/** Prefixes of script and network module names, with the architecture of each. */
const archs: Record<string, string> = {
  hv: "hunyuan-video",
  hv_1_5: "hunyuan-video",
  wan: "wan",
  fpack: "framepack",
  framepack: "framepack",
  flux: "flux",
  flux_kontext: "flux",
  flux_2: "flux2",
  qwen_image: "qwen-image",
  qwen_image_21: "qwen-image",
  zimage: "z-image",
  kandinsky5: "kandinsky5",
  kandinsky: "kandinsky5",
};

/** The architecture's part of `wan_train_network`; sd-scripts has scripts of that form as well. */
const networkScript = (script: string): string | undefined =>
  lookUp(networkScripts, script) ? undefined : /^(\w+)_train_network$/.exec(script)?.[1];

function archOf({ flat, command }: Input): string | undefined {
  const script = networkScript(command?.script ?? "");
  const module = /(?:^|\.)(?:lora|loha|lokr)_(\w+)$/.exec(toText(flat.network_module) ?? "")?.[1];
  const known = lookUp(archs, script ?? module ?? "");
  if (known ?? script) return known ?? script?.replaceAll("_", "-");
  if (/^(?:t2v|i2v|t2i|flf2v|vace)-/.test(toText(flat.task) ?? "")) return "wan";
  return archOfName(toText(flat.model_version)) ?? archOfName(toText(flat.dit));
}

/** musubi-tuner: sd-scripts' arguments, a DiT for the base model, the data in a file of its own. */
export const musubi: Dialect = {
  trainer: "musubi-tuner",
  recognise: ({ flat, command }) => {
    const script = command?.script ?? "";
    if (networkScript(script) && flat.pretrained_model_name_or_path === undefined) return "run";
    if (toText(flat.dit) === undefined || lookUp(networkScripts, script)) return null;
    if (/_train$/.test(script)) return "full-fine-tune";
    if (flat.network_module !== undefined) return "run";
    return command === null && (flat.dataset_config !== undefined || flat.vae !== undefined)
      ? "full-fine-tune"
      : null;
  },
  table: {
    ...kohyaTable,
    base_model_path: { keys: ["dit"] },
    batch_size: { keys: [] },
    data_dir: { keys: ["dataset_config"] },
    metadata_path: { keys: [] },
    caption_tag_delim: { keys: [] },
  },
  refine: (draft, input) => {
    refineNetwork(draft, input);
    refineTraining(draft, input);
    draft.set("base_arch", archOf(input));
  },
};

const isMusubiSet = (value: unknown) =>
  typeof value === "object" &&
  value !== null &&
  Object.keys(value).some((key) =>
    /^(?:image_directory|video_directory|\w+_jsonl_file)$/.test(key),
  );

/** A dataset file of musubi-tuner (`--dataset_config`). */
export const musubiDataset: Dialect = {
  trainer: "musubi-tuner",
  recognise: ({ root }) => (isMusubiSet(at(root, "datasets.0")) ? "dataset" : null),
  table: {},
  refine: (draft, { root }) => {
    readDatasets(draft, root, (set) => [set.image_directory, set.video_directory]);
    const sets = (Array.isArray(root.datasets) ? root.datasets : []).filter(isObject);
    const lists = sets.flatMap((set) => [set.image_jsonl_file, set.video_jsonl_file]);
    draft.read(
      "metadata_path",
      lists.filter((path) => typeof path === "string"),
      "image_jsonl_file",
    );
    draft.set("model_type", "stable-diffusion");
  },
};
