/*
 * Settings as trackers' clients hand them over: one dictionary that a program has put together, mostly out of
 * transformers' TrainingArguments, the model's configuration and PEFT's.
 */
import { isObject, type JsonObject } from "../trainers/formats/objects.ts";
import { recognise } from "../trainers/recognise.ts";

/** PEFT's configuration within such a dictionary: itself, or by the adapter's name. */
function peftOf({ peft_config: peft }: JsonObject): JsonObject | null {
  if (!isObject(peft)) return null;
  if ("peft_type" in peft) return peft;
  const [first] = Object.values(peft).filter(isObject);
  return first && "peft_type" in first ? first : null;
}

/** Whether these are arguments of transformers' Trainer, by names that nobody else has. */
const areArguments = (config: JsonObject) =>
  "per_device_train_batch_size" in config && "lr_scheduler_type" in config;

/**
 * The columns that such settings fill: by the reader of a trainer's file where one knows them, else as those
 * of a program. Its name is not among them: the tracker's client says it.
 */
export function fieldsOf(config: JsonObject): Record<string, unknown> {
  const text = JSON.stringify(config);
  if (recognise({ text, format: "json" }).trainer !== "unknown") return {};
  const args = areArguments(config);
  const peft = peftOf(config);
  const { fields } = recognise({
    text: JSON.stringify({
      form: "notebook",
      ...(args && { training_arguments: config }),
      ...(peft && { peft_config: peft }),
      variables: config,
    }),
    format: "json",
  });
  const { task_name: _, ...columns } = fields;
  const trainer = peft ? "peft" : args ? "transformers" : undefined;
  return { ...columns, ...(trainer && { trainer }) };
}
