import { describe, expect, it } from "vitest";
import { parseCommand } from "./command.ts";

const words = (line: string) => line.split(" ");

describe("parseCommand", () => {
  it("finds the script behind launchers and keeps their options apart", () => {
    for (const line of [
      "python /x/sdxl_train_network.py --seed 1",
      "accelerate launch --mixed_precision bf16 ./sdxl_train_network.py --seed 1",
      "python3 -m accelerate.commands.launch --num_processes=2 sdxl_train_network.py --seed 1",
      "torchrun --nproc_per_node 2 sdxl_train_network.py --seed 1",
      "C:\\venv\\python.exe C:\\sd\\sdxl_train_network.py --seed 1",
    ])
      expect(parseCommand(words(line))).toMatchObject({
        script: "sdxl_train_network",
        options: { seed: "1" },
      });
    expect(
      parseCommand(words("accelerate launch --mixed_precision bf16 train.py --a 1"))?.launcher,
    ).toEqual({ mixed_precision: "bf16" });
  });

  it("knows modules and programs", () => {
    expect(parseCommand(words("python -m musubi_tuner.wan_train_network --a 1"))?.script).toBe(
      "wan_train_network",
    );
    expect(parseCommand(words("/venv/bin/llamafactory-cli train a.yaml lr=1"))).toMatchObject({
      script: "llamafactory-cli",
      positionals: ["train", "a.yaml", "lr=1"],
    });
    expect(parseCommand(words("python -m axolotl.cli.train a.yml"))?.script).toBe("axolotl");
    expect(parseCommand(words("sh run.sh"))).toBeNull();
    expect(parseCommand([])).toBeNull();
  });

  it("reads flags, attached values, lists and negative numbers", () => {
    expect(
      parseCommand(
        words("python t.py --flag --a-b=1=2 --list x=1 y=2 --neg -1 --last --__proto__ z"),
      )?.options,
    ).toEqual(
      JSON.parse(
        '{"flag":true,"a_b":"1=2","list":["x=1","y=2"],"neg":"-1","last":true,"__proto__":"z"}',
      ),
    );
  });
});
