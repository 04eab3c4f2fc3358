import type { Incoming } from "../../files/receive.ts";

/** Files that training resumes from; in a checkpoint's folder all but its weights and settings are. */
const trainingState =
  /^(?:(?:optimizer|scheduler|scaler|training_args)\.(?:pt|pth|bin)|rng_state(?:_\d+)?\.(?:pt|pth)|random_states_\d+\.pkl)$/;
const weights = /\.(?:safetensors|ckpt|pt|pth|gguf)$/;
/** `.bin` may be anything: these are the names under which transformers, PEFT and diffusers save weights. */
const weightsBin =
  /^(?:adapter_model|pytorch_lora_weights|pytorch_model(?:-\d+-of-\d+)?|diffusion_pytorch_model)\.bin$/;
const settings = /\.(?:json|md|txt|ya?ml|toml|model)$/;
const checkpointFolder = /^(.*?(?:^|\/)checkpoint-(\d{1,15}))\//;

/**
 * What a file is by its name, as the ledger's own client chooses it for transformers' layout: weights are
 * final, or a checkpoint below `checkpoint-N/`. Whatever else people log is kept beside the run's
 * configuration: images are no samples, since nobody said that the run made them.
 */
export function kindOf(path: string): Pick<Incoming, "kind" | "step" | "group"> {
  const name = path.slice(path.lastIndexOf("/") + 1).toLowerCase();
  const [, folder, step] = checkpointFolder.exec(path) ?? [];
  const place = folder === undefined ? {} : { step: Number(step), group: folder.slice(-200) };
  if (trainingState.test(name)) return { kind: "state", ...place };
  if (weights.test(name) || weightsBin.test(name))
    return { kind: folder === undefined ? "final" : "checkpoint", ...place };
  return { kind: folder === undefined || settings.test(name) ? "config" : "state", ...place };
}

/** Files from which the main one of a model's folder is chosen: the first that is there. */
const preferred = [
  /^adapter_model\.safetensors$/,
  /^pytorch_lora_weights\.safetensors$/,
  /\.safetensors$/,
  weightsBin,
  /\.(?:ckpt|pt|pth|gguf)$/,
  /^mlmodel$/,
  /\.(?:pkl|pickle|joblib|onnx|bin)$/,
];

/**
 * The file that a version of a model is, out of its folder: the adapter's weights, else the largest weights,
 * else `MLmodel`, which describes the rest. Null where the folder holds none of these.
 */
export function mainFile<F extends { path: string; size: number }>(files: readonly F[]): F | null {
  const named = files.map((file) => ({
    file,
    name: file.path.slice(file.path.lastIndexOf("/") + 1).toLowerCase(),
    depth: file.path.split("/").length,
  }));
  for (const pattern of preferred) {
    const [best] = named
      .filter(({ name }) => pattern.test(name) && !trainingState.test(name))
      .sort((a, b) => b.file.size - a.file.size || a.depth - b.depth);
    if (best) return best.file;
  }
  return null;
}
