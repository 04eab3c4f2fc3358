import { expect, it } from "vitest";
import { byTelling, isHigherBetter, isValidation, validationLossOf } from "./metrics.ts";

it("knows the validation loss in every trainer's spelling", () => {
  for (const name of [
    ...["val/loss", "val_loss", "validation/loss", "eval_loss", "eval/loss", "test.loss"],
    ...["valid-loss", "loss/validation/epoch_average", "loss/validation"],
  ])
    expect(validationLossOf(["loss", "lr", name]), name).toBe(name);
  for (const name of ["loss", "loss/average", "valley_loss", "train/loss", "eval_accuracy"])
    expect(validationLossOf([name]), name).toBeNull();
  expect(isValidation("eval_accuracy")).toBe(true);
  expect(validationLossOf([])).toBeNull();
});

it("takes an average, then the shortest, and no divergence", () => {
  const kohya = ["step_current", "epoch_average", "step_average", "epoch_divergence"].map(
    (name) => `loss/validation/${name}`,
  );
  expect(validationLossOf(kohya)).toBe("loss/validation/step_average");
  expect(validationLossOf(["val/loss_ema", "val/loss", "eval_loss"])).toBe("val/loss");
  expect(validationLossOf(["loss/validation/step_divergence"])).toBeNull();
});

it("puts first what tells most, and leaves out what tells nothing", () => {
  expect(
    byTelling(["gpu.0.util", "speed", "lr/unet", "eval_score", "loss/ema", "loss", "val/loss"]),
  ).toEqual(["val/loss", "loss", "loss/ema", "eval_score", "speed"]);
});

it("knows of which metrics the highest value is the best", () => {
  for (const name of [
    ...["accuracy", "eval_accuracy", "train/acc", "eval/f1", "rewards/margins", "val/psnr"],
    ...["score.clip", "clip_score", "clip_i", "rouge1", "eval_rougeL", "mean_token_accuracy"],
  ])
    expect(isHigherBetter(name), name).toBe(true);
  for (const name of [
    ...["loss", "val/loss", "accuracy_loss", "eval_perplexity", "lpips", "grad_norm", "lr"],
    ...["clip_grad_norm", "clip_ratio", "accumulation", "speed", "score_distance", "lossy"],
  ])
    expect(isHigherBetter(name), name).toBe(false);
});
