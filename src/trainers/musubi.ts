import { archOf, archOfName } from "../shared/architectures.ts";
import { archOrWord, type Dialect, type Input, toText } from "./dialect.ts";
import { at, isObject, lookUp } from "./formats/objects.ts";
import {
  kohyaTable,
  networkScripts,
  readDatasets,
  refineNetwork,
  refineTraining,
} from "./kohya.ts";

/** The architecture's part of `wan_train_network`; sd-scripts has scripts of that form as well. */
const networkScript = (script: string): string | undefined =>
  lookUp(networkScripts, script) ? undefined : /^(\w+)_train_network$/.exec(script)?.[1];

/** By the script, which may be a private one, then by the network module; its only Kandinsky is the fifth. */
function archOfRun({ flat, command }: Input): string | undefined {
  const script = networkScript(command?.script ?? "");
  const module = /(?:^|\.)(?:lora|loha|lokr)_(\w+)$/.exec(toText(flat.network_module) ?? "")?.[1];
  if (script !== undefined) return archOrWord(script);
  if (module !== undefined) {
    const known = module === "kandinsky" ? "kandinsky5" : archOf(module);
    if (known) return known;
  }
  if (/^(?:t2v|i2v|t2i|flf2v|vace)-/.test(toText(flat.task) ?? "")) return "wan";
  return archOf(toText(flat.model_version)) ?? archOfName(toText(flat.dit), "diffusion");
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
    draft.set("base_arch", archOfRun(input));
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
