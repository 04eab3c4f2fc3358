/*
 * What params tell of a run's settings: arguments of transformers' Trainer, TRL's and PEFT's configurations,
 * and names that mean the same with every trainer.
 */
import { archOfName, modelTypeOf } from "../../shared/architectures.ts";
import { readByName } from "../../trainers/declaration.ts";
import { Draft, type TaskFields } from "../../trainers/dialect.ts";

type Params = Record<string, string>;

/** A value as its Python writes it: `None` is unset, `PeftType.LORA` is LORA. */
function plain(value: string | undefined): string | undefined {
  if (value === undefined || /^(?:None|null|)$/.test(value)) return undefined;
  return /^[A-Z]\w*\.([A-Z][A-Z0-9_]*)$/.exec(value)?.[1] ?? value;
}
const isOn = (value: string | undefined) => /^true$/i.test(value ?? "");

/** Keys of PEFT's LoraConfig that are read. */
const peftKeys = [
  ...["r", "lora_alpha", "lora_dropout", "peft_type", "task_type", "use_dora"],
  "base_model_name_or_path",
];

/** Characters of a nested configuration that are looked through. */
const MOST_NESTED = 6000;

/** The keys of a nested configuration in Python's words: `{'default': LoraConfig(r=8, …)}` or `{'r': 8, …}`. */
function nestedKeys(text: string): Params {
  const found: Params = {};
  const part = text.slice(0, MOST_NESTED);
  for (const key of peftKeys) {
    const pattern = new RegExp(
      `(?:\\b${key}=|['"]${key}['"]: ?)(?:<([\\w.]+):|['"]([^'"]{0,2000})['"]|([\\w.+-]+))`,
    );
    const [, word, quoted, bare] = pattern.exec(part) ?? [];
    const value = word ?? quoted ?? bare;
    if (value !== undefined) found[key] = value;
  }
  return found;
}

/** Arguments that transformers' Trainer alone has. */
const trainerMarks = ["per_device_train_batch_size", "num_train_epochs", "lr_scheduler_type"];

/** Reads the adapter of PEFT's keys; whether there is one. */
function readPeft(draft: Draft, params: Params): boolean {
  const nested = params.peft_config ?? params.lora_config;
  const own = nested === undefined ? params : { ...nestedKeys(nested) };
  const type = plain(own.peft_type)?.toLowerCase();
  const isPeft = type !== undefined || (own.r !== undefined && own.lora_alpha !== undefined);
  if (!isPeft) return false;
  draft.read("lora_rank", plain(own.r), "r");
  draft.read("lora_alpha", plain(own.lora_alpha), "lora_alpha");
  draft.read("dropout", plain(own.lora_dropout), "lora_dropout");
  draft.set("network_algo", isOn(own.use_dora) ? "dora" : (type ?? "lora"), "peft_type");
  draft.read("base_model_path", plain(own.base_model_name_or_path), "base_model_name_or_path");
  if (plain(own.task_type)) draft.set("model_type", "llm", "task_type");
  return true;
}

/**
 * The columns that params fill: only what they state, no trainer's default. `trainer` is `peft` of an adapter
 * of PEFT's, `transformers` of its Trainer alone.
 */
export function columnsOfParams(all: Params): TaskFields & { trainer?: string } {
  const params: Params = {};
  for (const [key, value] of Object.entries(all)) {
    const one = plain(value);
    if (one !== undefined) params[key] = one;
  }
  const draft = new Draft();
  const isPeft = readPeft(draft, params);
  const byName = new Draft();
  readByName(byName, params);
  const isTrainer = trainerMarks.filter((key) => key in params).length >= 2;
  if (!byName.has("mixed_precision")) {
    if (isOn(params.bf16)) byName.set("mixed_precision", "bf16", "bf16");
    else if (isOn(params.fp16)) byName.set("mixed_precision", "fp16", "fp16");
    else if (params.bf16 !== undefined && params.fp16 !== undefined && isTrainer)
      byName.set("mixed_precision", "no", "bf16");
  }
  if (isTrainer) byName.read("base_model_path", params._name_or_path, "_name_or_path");
  const fields: TaskFields = { ...byName.fields, ...draft.fields };
  const arch = archOfName(fields.base_model_path);
  if (!fields.model_type && arch) fields.model_type = modelTypeOf(arch);
  if (!fields.model_type && isTrainer) fields.model_type = "llm";
  if (fields.model_type === "llm") fields.base_arch = "llm";
  else if (arch && Object.keys(fields).length > 1) fields.base_arch = arch;
  delete fields.task_name;
  if (isTrainer) return { ...fields, trainer: "transformers" };
  return { ...fields, ...(isPeft && { trainer: "peft" }) };
}
