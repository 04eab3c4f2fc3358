import { isLoss, isRate, isValidation, isValidationLoss } from "../../../src/shared/metrics.ts";
import { isSystemMetric } from "../../../src/shared/system-metrics.ts";

/** The most curves that are drawn small. */
const MOST = 8;

/**
 * Metrics that are drawn small, the most telling first: validation loss, learning rates, gradient norms,
 * other losses, other results.
 */
const telling: ((name: string) => boolean)[] = [
  isValidationLoss,
  isRate,
  (name) => /grad[_-]?norm/i.test(name),
  isLoss,
  (name) => isValidation(name) || /(?:^|[/_.-])score(?:[/_.-]|$)/i.test(name),
];

/** The metrics to draw small, in their order; the first ones where none is known to tell much. Figures of the machine
 * have a page of their own. */
export function smallMetrics(names: string[]): string[] {
  const own = names.filter((name) => !isSystemMetric(name));
  const known = own
    .map((name) => ({ name, rank: telling.findIndex((is) => is(name)) }))
    .filter(({ rank }) => rank >= 0)
    .sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : 1));
  return (known.length ? known.map(({ name }) => name) : own).slice(0, MOST);
}
