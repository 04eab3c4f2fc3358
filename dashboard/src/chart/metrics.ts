import { isLoss, isRate, isValidation, isValidationLoss } from "../../../src/shared/metrics.ts";
import { isSystemMetric } from "../../../src/shared/system-metrics.ts";

/**
 * Which metrics tell the most, these first: validation loss, learning rates, gradient norms,
 * other losses, other results.
 */
const telling: ((name: string) => boolean)[] = [
  isValidationLoss,
  isRate,
  (name) => /grad[_-]?norm/i.test(name),
  isLoss,
  (name) => isValidation(name) || /(?:^|[/_.-])score(?:[/_.-]|$)/i.test(name),
];

/** Names as people count: `m2` before `m10`. */
const { compare } = new Intl.Collator("en", { numeric: true });

/** Metrics in their order, the most telling first. Figures of the machine have a page of their own. */
export function inOrder(names: string[]): string[] {
  const rankOf = (name: string) => {
    const rank = telling.findIndex((is) => is(name));
    return rank < 0 ? telling.length : rank;
  };
  return names
    .filter((name) => !isSystemMetric(name))
    .sort((a, b) => rankOf(a) - rankOf(b) || compare(a, b));
}

/**
 * The group of a metric: learning rates and validation under any spelling have one each, others are together
 * by the prefix before the first `/` or `.`; the group "" holds metrics without a prefix.
 */
export function groupOf(name: string): string {
  if (isRate(name)) return "lr";
  if (isValidation(name)) return "val";
  return name.match(/^([^/.]+)[/.]/)?.[1] ?? "";
}

const firstGroups = ["", "val", "train", "lr"];

/** Groups in their order: those without a prefix, validation, training and rates first. */
export function groupsInOrder(groups: Iterable<string>): string[] {
  const placeOf = (group: string) =>
    firstGroups.includes(group) ? firstGroups.indexOf(group) : firstGroups.length;
  return [...groups].sort((a, b) => placeOf(a) - placeOf(b) || compare(a, b));
}
