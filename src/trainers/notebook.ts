import { archOfName } from "../shared/architectures.ts";
import type { JsonValue } from "../shared/json.ts";
import { type Column, type Dialect, type Draft, isOn, toNumber, toText } from "./dialect.ts";
import { isObject, type JsonObject } from "./formats/objects.ts";
import { basename } from "./path.ts";

/** Output folders that say nothing about a run. */
const plainFolders =
  /^(?:\.|out(?:puts?)?|results?|model|trainer_output|tmp_trainer|checkpoints?|working|content)$/i;

/** Names of variables that people give to settings, in small letters; the first that is there wins. */
const variableNames: { [C in Column]?: string[] } = {
  base_model_path: [
    "base_model",
    "base_model_name",
    "base_model_id",
    "base_model_path",
    "pretrained_model_name_or_path",
    "pretrained_model",
    "model_name_or_path",
    "model_name",
    "model_id",
    "model_path",
  ],
  lora_rank: ["lora_rank", "lora_r", "network_dim", "rank", "r"],
  lora_alpha: ["lora_alpha", "network_alpha", "alpha"],
  dropout: ["lora_dropout", "network_dropout"],
  batch_size: ["per_device_train_batch_size", "train_batch_size", "micro_batch_size", "batch_size"],
  gradient_accumulation_steps: ["gradient_accumulation_steps", "grad_accumulation_steps"],
  epochs: ["num_train_epochs", "num_epochs", "max_train_epochs", "epochs"],
  max_steps: ["max_steps", "max_train_steps", "num_steps", "train_steps"],
  learning_rate: ["learning_rate", "lr"],
  optimizer: ["optim", "optimizer", "optimizer_type"],
  scheduler: ["lr_scheduler_type", "lr_scheduler", "scheduler"],
  mixed_precision: ["mixed_precision"],
  seed: ["seed", "random_seed"],
  resolution: ["resolution", "image_size"],
  data_dir: [
    "train_data_dir",
    "instance_data_dir",
    "data_dir",
    "dataset_name",
    "dataset_path",
    "dataset_id",
    "dataset",
  ],
  output_dir: ["output_dir", "save_dir", "output_path"],
};

type Variable = { path: string; value: JsonValue };

/** Variables by their names in small letters; a plain one goes before one in an object of settings. */
function variablesOf({ variables }: JsonObject): Map<string, Variable> {
  const found = new Map<string, Variable>();
  const all = Object.entries(isObject(variables) ? variables : {});
  for (const [name, value] of all)
    for (const [inner, item] of Object.entries(isObject(value) ? value : {}))
      found.set(inner.toLowerCase(), { path: `variables.${name}.${inner}`, value: item });
  for (const [name, value] of all)
    if (!isObject(value)) found.set(name.toLowerCase(), { path: `variables.${name}`, value });
  return found;
}

/** What the objects have of a column, which goes before the variables; of them nothing is a default. */
const objectKeys: { [C in Column]?: string[] } = {
  base_model_path: ["peft_config.base_model_name_or_path", "model.name_or_path"],
  lora_rank: ["peft_config.r"],
  lora_alpha: ["peft_config.lora_alpha", "peft_config.alpha"],
  dropout: ["peft_config.lora_dropout", "peft_config.module_dropout"],
  batch_size: ["training_arguments.per_device_train_batch_size"],
  gradient_accumulation_steps: ["training_arguments.gradient_accumulation_steps"],
  epochs: ["training_arguments.num_train_epochs"],
  learning_rate: ["training_arguments.learning_rate"],
  optimizer: ["training_arguments.optim"],
  scheduler: ["training_arguments.lr_scheduler_type"],
  seed: ["training_arguments.seed"],
  output_dir: ["training_arguments.output_dir"],
  log_dir: ["training_arguments.logging_dir"],
};

const table: Dialect["table"] = {};
for (const columns of [variableNames, objectKeys])
  for (const column of Object.keys(columns) as Column[])
    table[column] = { keys: objectKeys[column] ?? [] };

function readVariables(draft: Draft, variables: Map<string, Variable>) {
  for (const column of Object.keys(variableNames) as Column[])
    for (const name of variableNames[column] ?? []) {
      const found = variables.get(name);
      if (draft.has(column) || (found && draft.read(column, found.value, found.path))) break;
    }
}

function readSteps(draft: Draft, args: JsonObject | null) {
  const steps = toNumber(args?.max_steps);
  if (args === null || steps === undefined) return;
  // -1 means as many steps as the epochs have; else steps win, and the epochs were never asked for.
  draft.drop("max_steps");
  if (steps > 0) {
    draft.read("max_steps", steps, "training_arguments.max_steps");
    draft.drop("epochs");
  }
}

/** TRL's trainers, PEFT's tasks and transformers' classes say so; transformers' Trainer also trains other models. */
const isLanguageModel = ({ library, model }: JsonObject, peft: JsonObject | null) =>
  library === "trl" ||
  /_LM$/.test(toText(peft?.task_type) ?? "") ||
  (isObject(model) && /ForCausalLM$/.test(toText(model.class) ?? ""));

/** Where it stands that a model is one of language. */
const toldBy = ({ library, peft_config: peft }: JsonObject) =>
  library === "trl"
    ? "library"
    : isObject(peft) && peft.task_type
      ? "peft_config.task_type"
      : "model.class";

/**
 * What the Python client records from within a program or a notebook (client/…/recording/namespace.py): transformers'
 * TrainingArguments, a PEFT configuration and plain variables. They say what trained, so nothing has a default here.
 */
export const notebook: Dialect = {
  trainer: "python",
  recognise: ({ root }) => (root.form === "notebook" ? "run" : null),
  source: ({ root }) => root,
  table,
  refine: (draft, { root }) => {
    const variables = variablesOf(root);
    readVariables(draft, variables);
    const args = isObject(root.training_arguments) ? root.training_arguments : null;
    const peft = isObject(root.peft_config) ? root.peft_config : null;
    readSteps(draft, args);
    if (args && ("bf16" in args || "fp16" in args))
      draft.set(
        "mixed_precision",
        isOn(args.bf16) ? "bf16" : isOn(args.fp16) ? "fp16" : "no",
        isOn(args.fp16) ? "training_arguments.fp16" : "training_arguments.bf16",
      );

    const type = toText(peft?.peft_type)?.toLowerCase();
    const isQuantised = type === "lora" && isOn(variables.get("load_in_4bit")?.value);
    draft.set(
      "network_algo",
      isOn(peft?.use_dora) ? "dora" : isQuantised ? "qlora" : type,
      isOn(peft?.use_dora) ? "peft_config.use_dora" : "peft_config.peft_type",
    );
    const base = draft.fields.base_model_path;
    const arch = archOfName(base);
    const isLlm = arch === undefined && isLanguageModel(root, peft);
    const told = isLlm ? toldBy(root) : (draft.sources.base_model_path ?? "model");
    draft.set("base_arch", isLlm ? "llm" : arch, told);
    const found = draft.fields.base_arch;
    if (found !== undefined)
      draft.set("model_type", found === "llm" ? "llm" : "stable-diffusion", told);

    const out = draft.fields.output_dir && basename(draft.fields.output_dir);
    const run = toText(args?.run_name);
    const named = run !== undefined && run !== toText(args?.output_dir) ? run : undefined;
    const name = named ?? (out && !plainFolders.test(out) ? out : base && basename(base));
    if (name)
      draft.set(
        "task_name",
        name,
        named ? "training_arguments.run_name" : (draft.sources.output_dir ?? "model"),
      );

    for (const [kind, objects] of Object.entries(isObject(root.several) ? root.several : {}))
      draft.warn(
        "several-objects",
        `Several objects could be the run's ${kind} (${Object.keys(isObject(objects) ? objects : {}).join(", ")}); no column is read from them.`,
        `several.${kind}`,
      );
  },
};
