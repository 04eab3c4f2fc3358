/** Whether a metric is a learning rate: `lr`, `lr/unet`, `lr-unet`, `unet_lr`, `train/learning_rate`. */
export const isRate = (name: string) =>
  /(?:^|[/_.-])(?:lr|learning[_-]?rate)\d*(?:[/_.-]|$)/i.test(name);

const validation = /^(?:val|valid|validation|eval|test)(?:[/_.-]|$)/i;
/**
 * Which metrics tell the most, these first: validation loss, learning rates, gradient norms,
 * other losses, other results, and the load of the GPUs.
 */
const telling: ((name: string) => boolean)[] = [
  (name) => validation.test(name) && /loss/i.test(name),
  isRate,
  (name) => /grad[_-]?norm/i.test(name),
  (name) => /loss/i.test(name),
  (name) => validation.test(name) || /(?:^|[/_.-])score(?:[/_.-]|$)/i.test(name),
  isLoad,
];
const gpuLoads = ["util", "mem_mb", "temp_c", "power_w"];

/** The number of the GPU whose load a metric is, and which; null of another metric. */
function gpuOf(name: string): [gpu: number, load: number] | null {
  const [, gpu, load = ""] = name.match(/^gpu\.(\d+)\.(\w+)$/) ?? [];
  const at = gpuLoads.indexOf(load);
  return gpu === undefined || at < 0 ? null : [Number(gpu), at];
}

/** Whether a metric is the load of a GPU, of which the highest value tells. */
export function isLoad(name: string): boolean {
  return gpuOf(name) !== null;
}

/** Names as people count: `m2` before `m10`. */
const { compare } = new Intl.Collator("en", { numeric: true });

/** Metrics in their order, the most telling first. */
export function inOrder(names: string[]): string[] {
  const ranked = names.map((name) => {
    const [gpu, load] = gpuOf(name) ?? [0, 0];
    const rank = telling.findIndex((is) => is(name));
    return { name, rank: rank < 0 ? telling.length : rank, gpu, load };
  });
  return ranked
    .sort((a, b) => a.rank - b.rank || a.gpu - b.gpu || a.load - b.load || compare(a.name, b.name))
    .map(({ name }) => name);
}

/**
 * The group of a metric: learning rates and validation under any spelling have one each, others are together
 * by what stands before the first `/` or `.`; "" has those without.
 */
export function groupOf(name: string): string {
  if (isRate(name)) return "lr";
  if (validation.test(name)) return "val";
  return name.match(/^([^/.]+)[/.]/)?.[1] ?? "";
}

const firstGroups = ["", "val", "train", "lr"];
const lastGroups = ["gpu", "system"];

/** Groups in their order: those without a prefix, validation, training and rates first, machines last. */
export function groupsInOrder(groups: Iterable<string>): string[] {
  const placeOf = (group: string) =>
    firstGroups.includes(group)
      ? firstGroups.indexOf(group)
      : firstGroups.length + lastGroups.indexOf(group) + 1;
  return [...groups].sort((a, b) => placeOf(a) - placeOf(b) || compare(a, b));
}
