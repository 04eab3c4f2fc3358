import { expect, it } from "vitest";
import { isRate } from "../../../src/shared/metrics.ts";
import { groupOf, groupsInOrder, inOrder } from "./metrics.ts";

it("knows every spelling of a learning rate, and nothing else by it", () => {
  const rates = [
    ...["lr", "lr/unet", "lr/textencoder", "lr/group0", "lr-unet", "lr_text", "unet_lr", "LR"],
    ...["learning_rate", "train/learning_rate", "learning-rate", "train/lr", "lr0", "lr/d*lr/unet"],
  ];
  for (const name of rates) expect(isRate(name), name).toBe(true);
  for (const name of ["lrx", "slr_x", "color", "steps", "throughput/lrate"])
    expect(isRate(name), name).toBe(false);
});
it("puts the most telling first: validation, rates, gradients, losses, results, others; no figures of the machine", () => {
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
  expect(inOrder(names)).toEqual([
    ...["val/loss", "lr/unet", "grad_norm", "loss/ema", "eval_accuracy", "speed"],
  ]);
});
it("takes each name of a validation for one", () => {
  const losses = ["eval_loss", "validation/loss", "validation-loss", "val_loss", "test.loss"];
  expect(inOrder(["train/grad_norm", ...losses])).toEqual([
    ...[...losses].sort(),
    "train/grad_norm",
  ]);
  expect(inOrder(["evaluations", "valley"])).toEqual(["evaluations", "valley"]);
});
it("counts as people do, and leaves none out", () => {
  const names = Array.from({ length: 60 }, (_, n) => `m${n}`);
  expect(inOrder(names.toReversed())).toEqual(names);
  expect(inOrder(["gpu.x.util", "gpu.0.fan"])).toEqual(["gpu.0.fan", "gpu.x.util"]);
  expect(inOrder([])).toEqual([]);
});
it("groups by prefix, and rates and validation under any spelling", () => {
  const groups = {
    "": ["loss", "grad_norm", "/odd", ".odd"],
    train: ["train/loss", "train.acc"],
    val: ["val/loss", "eval_loss", "validation-loss"],
    lr: ["lr", "lr/unet", "train/lr", "unet_lr", "learning_rate"],
    gpu: ["gpu.0.util"],
    system: ["system/cpu"],
    a: ["a/b/c.d"],
  };
  for (const [group, names] of Object.entries(groups))
    for (const name of names) expect(groupOf(name), name).toBe(group);
  expect(groupsInOrder(["system", "gpu", "b", "lr", "train", "a10", "a9", "val", ""])).toEqual([
    ...["", "val", "train", "lr", "a9", "a10", "b", "gpu", "system"],
  ]);
});
