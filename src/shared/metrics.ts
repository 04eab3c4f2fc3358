/** What the names of metrics tell: the pages and the service recognise them alike. */
import { isSystemMetric } from "./system-metrics.ts";

const validation = /(?:^(?:val|valid|eval|test)|(?:^|[/_.-])validation)(?:[/_.-]|$)/i;
/** Whether a metric is of data that a run does not train on: `val/loss`, `eval_accuracy`, `loss/validation/average`. */
export const isValidation = (name: string) => validation.test(name);
export const isLoss = (name: string) => /loss/i.test(name);
export const isValidationLoss = (name: string) => isValidation(name) && isLoss(name);

/** Whether a metric is a learning rate: `lr`, `lr/unet`, `lr-unet`, `unet_lr`, `train/learning_rate`. */
export const isRate = (name: string) =>
  /(?:^|[/_.-])(?:lr|learning[_-]?rate)\d*(?:[/_.-]|$)/i.test(name);

const higher =
  /(?:^|[/_.@ -])(?:acc|accuracy|f1|precision|recall|auc|auroc|map|bleu|rouge\w*|meteor|chrf|exact[_-]?match|psnr|ssim|clip[_-]?(?:i|t|score)|clip$|similarity|rewards?|margins?|win[_-]?rate|r2|aesthetic|score)(?:[/_.@ -]|\d|$)/i;
const lower = /loss|error|perplexity|ppl|lpips|fid|distance|divergence/i;
/**
 * Whether the highest value of a metric is its best: accuracies, rewards, similarities to what is wanted. The
 * lowest is of all others, losses and errors first.
 */
export const isHigherBetter = (name: string) => higher.test(name) && !lower.test(name);

const byLength = (a: string, b: string) => a.length - b.length || (a < b ? -1 : 1);

/**
 * The validation loss among a run's metrics; null where it has none. Of several an average comes first, then the
 * shortest name, then the first by alphabet; how far two losses are apart (`…/divergence`) is none.
 */
export function validationLossOf(names: string[]): string | null {
  const losses = names
    .filter((name) => isValidationLoss(name) && !/divergence/i.test(name))
    .sort(byLength);
  return losses.find((name) => /average|mean/i.test(name)) ?? losses[0] ?? null;
}

/**
 * The metrics whose lowest value may tell how good a run is, the most telling first: validation losses, other
 * losses, other results of a validation, and all others. Learning rates and figures of the machine tell nothing so.
 */
export function byTelling(names: string[]): string[] {
  const ranks = [isValidationLoss, isLoss, isValidation];
  const rankOf = (name: string) => {
    const rank = ranks.findIndex((is) => is(name));
    return rank < 0 ? ranks.length : rank;
  };
  return names
    .filter((name) => !isRate(name) && !isSystemMetric(name))
    .sort((a, b) => rankOf(a) - rankOf(b) || byLength(a, b));
}
