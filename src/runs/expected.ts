import type { JsonValue } from "../shared/json.ts";

/** How long a run will be, as far as its settings tell. */
export type Expected = { steps: number | null; images: number | null };

/** Trainers that count epochs where a file names both epochs and steps; others count steps. */
const epochsFirst = new Set([
  "kohya",
  "kohya-gui",
  "lora-scripts",
  "lora-easy-training-scripts",
  "musubi-tuner",
  "onetrainer",
]);

const positive = (value: JsonValue | undefined): number | null =>
  typeof value === "number" && Number.isFinite(value) && value > 0 ? value : null;

/**
 * Optimizer steps of a run, and the images that each of its processes trains on. Steps are those of the
 * settings, or `ceil(images per epoch / batch) * epochs` with `batch` the images of an optimizer step.
 * Images are `steps * batch`, as `images_seen` counts them: OneTrainer counts each batch as a step, and of
 * ai-toolkit with accumulation nobody can tell. Null where the settings do not say it; of language models
 * `images` are examples, which packing changes, so that they are null as well.
 */
export function expectedOf(
  fields: { [column: string]: JsonValue | undefined },
  defaulted: readonly string[],
  imagesPerEpoch: number | null,
): Expected {
  const batch = positive(fields.batch_size);
  const gathers = positive(fields.gradient_accumulation_steps) ?? 1;
  const perStep =
    batch === null
      ? null
      : fields.trainer === "onetrainer"
        ? batch
        : fields.trainer === "ai-toolkit" && gathers > 1
          ? null
          : batch * gathers;
  const stated = (name: string) => (defaulted.includes(name) ? null : positive(fields[name]));
  const epochs = stated("epochs") ?? (stated("max_steps") ? null : positive(fields.epochs));
  const byEpochs =
    epochs !== null && imagesPerEpoch !== null && perStep !== null
      ? Math.ceil(Math.ceil(imagesPerEpoch / perStep) * epochs)
      : null;
  const bySteps =
    stated("max_steps") ?? (stated("epochs") === null ? positive(fields.max_steps) : null);
  const steps =
    stated("epochs") !== null && (epochsFirst.has(String(fields.trainer)) || bySteps === null)
      ? byEpochs
      : (bySteps ?? byEpochs);
  const isLanguage = fields.model_type === "llm";
  return {
    steps,
    images: steps !== null && perStep !== null && !isLanguage ? steps * perStep : null,
  };
}
