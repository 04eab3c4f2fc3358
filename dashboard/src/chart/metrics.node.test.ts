import { expect, it } from "vitest";
import { smallMetrics } from "./metrics.ts";

it("knows every spelling of a learning rate, and nothing else by it", () => {
  const rates = [
    ...["lr", "lr/unet", "lr/textencoder", "lr/group0", "lr-unet", "lr_text", "unet_lr", "LR"],
    ...["learning_rate", "train/learning_rate", "learning-rate", "train/lr", "lr0", "lr/d*lr/unet"],
  ];
  for (const name of rates) expect(smallMetrics([name, "zzz"]), name).toEqual([name]);
  for (const name of ["lrx", "slr_x", "color", "steps", "throughput/lrate"])
    expect(smallMetrics(["lr", name]), name).toEqual(["lr"]);
});
it("draws the most telling first: validation, rates, gradients, losses, results; no figures of the machine", () => {
  const gpus = [0, 1, 10].flatMap((n) =>
    ["mem_mb", "power_w", "temp_c", "util"].map((load) => `gpu.${n}.${load}`),
  );
  const names = [
    ...gpus,
    "sys.cpu",
    "eval_accuracy",
    "loss/ema",
    "grad_norm",
    "lr/unet",
    "speed",
    "val/loss",
  ];
  expect(smallMetrics(names)).toEqual([
    ...["val/loss", "lr/unet", "grad_norm", "loss/ema", "eval_accuracy"],
  ]);
  expect(smallMetrics(gpus)).toEqual([]);
});
it("takes each name of a validation for one", () => {
  const losses = ["eval_loss", "validation/loss", "validation-loss", "val_loss", "test.loss"];
  expect(smallMetrics(["train/grad_norm", ...losses])).toEqual([
    ...[...losses].sort(),
    "train/grad_norm",
  ]);
  expect(smallMetrics(["evaluations", "valley"])).toEqual(["evaluations", "valley"]);
});
it("draws the first eight where none is known to tell much, or nothing", () => {
  const names = Array.from({ length: 60 }, (_, n) => `m${n}`);
  expect(smallMetrics(names)).toEqual(names.slice(0, 8));
  expect(smallMetrics(["gpu.0.fan", "gpu.x.util"])).toEqual(["gpu.0.fan", "gpu.x.util"]);
  expect(smallMetrics([])).toEqual([]);
});
