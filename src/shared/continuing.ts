/**
 * How each trainer continues from a file of another run: the setting that takes the path. `weights` begins anew
 * from trained weights, with a fresh optimizer; `state` goes on with the optimizer's state as well. The names are
 * those of the trainers' own options; a trainer whose option nobody has looked up has null.
 */
export type Setting = {
  path: readonly (string | number)[];
  /** Whether the setting takes the file itself or the folder that holds it. */
  takes: "file" | "folder";
};

export type Continuing = { weights: Setting | null; state: Setting | null };

const file = (...path: (string | number)[]): Setting => ({ path, takes: "file" });
const folder = (...path: (string | number)[]): Setting => ({ path, takes: "folder" });

const sdScripts: Continuing = { weights: file("network_weights"), state: folder("resume") };
const checkpointFolder = folder("resume_from_checkpoint");

/** Null: the trainer has no setting that its configuration could name a file by. */
export const continuing: { readonly [trainer: string]: Continuing } = {
  kohya: sdScripts,
  "lora-scripts": sdScripts,
  "musubi-tuner": sdScripts,
  "kohya-gui": { weights: file("lora_network_weights"), state: folder("resume") },
  "lora-easy-training-scripts": { weights: null, state: null },
  onetrainer: { weights: file("lora_model_name"), state: null },
  "ai-toolkit": {
    weights: file("config", "process", 0, "network", "pretrained_lora_path"),
    state: null,
  },
  "diffusion-pipe": { weights: folder("adapter", "init_from_existing"), state: null },
  simpletuner: { weights: file("init_lora"), state: null },
  "ltx-trainer": { weights: file("model", "load_checkpoint"), state: null },
  axolotl: { weights: folder("lora_model_dir"), state: checkpointFolder },
  "llama-factory": { weights: folder("adapter_name_or_path"), state: checkpointFolder },
  "ms-swift": { weights: null, state: checkpointFolder },
  trl: { weights: null, state: checkpointFolder },
  "mlx-lm": { weights: file("resume_adapter_file"), state: null },
  diffusers: { weights: null, state: null },
  "diffsynth-studio": { weights: null, state: null },
  flymyai: { weights: null, state: null },
  unsloth: { weights: null, state: null },
  torchtune: { weights: null, state: null },
  peft: { weights: null, state: null },
};

/** The setting for a file of that kind; null where the trainer has none, or is not known. */
export function settingFor(trainer: string, kind: string): Setting | null {
  const known = Object.hasOwn(continuing, trainer) ? continuing[trainer] : undefined;
  return (kind === "state" ? known?.state : known?.weights) ?? null;
}

/** What the setting says of a file at `path`. */
export const valueFor = (setting: Setting, path: string): string =>
  setting.takes === "file" ? path : path.replace(/[\\/][^\\/]*$/, "");
