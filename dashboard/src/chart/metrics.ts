import { isLoss, isRate, isValidation, isValidationLoss } from "../../../src/shared/metrics.ts";

/** The most curves that are drawn small. */
const MOST = 8;

/**
 * Metrics that are drawn small, the most telling first: validation loss, learning rates, gradient norms,
 * other losses, other results, and the load of the GPUs.
 */
const telling: ((name: string) => boolean)[] = [
  isValidationLoss,
  isRate,
  (name) => /grad[_-]?norm/i.test(name),
  isLoss,
  (name) => isValidation(name) || /(?:^|[/_.-])score(?:[/_.-]|$)/i.test(name),
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

/** The metrics to draw small, in their order; the first ones where none is known to tell much. */
export function smallMetrics(names: string[]): string[] {
  const ranked = names.map((name) => {
    const [gpu, load] = gpuOf(name) ?? [0, 0];
    return { name, rank: telling.findIndex((is) => is(name)), gpu, load };
  });
  const known = ranked
    .filter(({ rank }) => rank >= 0)
    .sort(
      (a, b) => a.rank - b.rank || a.gpu - b.gpu || a.load - b.load || (a.name < b.name ? -1 : 1),
    );
  return (known.length ? known.map(({ name }) => name) : names).slice(0, MOST);
}
