import { describe, expect, it } from "vitest";
import { commandsOf } from "./shell.ts";

describe("commands of a shell script", () => {
  it("takes quotes, comments and continued lines away", () => {
    const text = `#!/bin/bash
set -e -x  # stop at once
python train.py \\
  --name 'a b' \\
  --prompt "say \\"x\\"; it's \\$5" # why
echo done; python b.py --x=1 && python c.py
`;
    expect(commandsOf(text)).toEqual([
      ["set", "-e", "-x"],
      ["python", "train.py", "--name", "a b", "--prompt", `say "x"; it's $5`],
      ["echo", "done"],
      ["python", "b.py", "--x=1"],
      ["python", "c.py"],
    ]);
  });

  it("puts in the variables and lists that the script sets", () => {
    const text = `export OUT="/o/my run"
NUM=2
DDP="--dp_degree 2 --tp 1"
args=(
  $DDP
  --output_dir "$OUT"
  # --resume last
  --seed \${SEED:-7}
)
empty=()
if [ "$NUM" == 2 ]; then
  torchrun --nproc_per_node=$NUM train.py "\${args[@]}" "\${empty[@]}" --host "$HOSTNAME/$(hostname -f)" --name "\${OUT}_x"
fi
`;
    expect(commandsOf(text)).toContainEqual([
      ...["torchrun", "--nproc_per_node=2", "train.py", "--dp_degree", "2", "--tp", "1"],
      ...["--output_dir", "/o/my run", "--seed", "7"],
      ...["--host", "$HOSTNAME/$(hostname -f)", "--name", "/o/my run_x"],
    ]);
  });

  it("continues lines of Windows' batch files", () => {
    expect(commandsOf("accelerate launch ^\r\n  a.py ^\r\n  --x 1\r\n")).toEqual([
      ["accelerate", "launch", "a.py", "--x", "1"],
    ]);
  });

  it("ends in time on variables that hold each other, and on quotes without an end", () => {
    const doubling = `A=xxxxxxxxxx\n${'A="$A$A$A$A$A$A$A$A$A$A"\n'.repeat(5000)}`;
    const all = "$" + "{a[@]}";
    const lists = `a=(1 2 3)\n${`a=("${all}" "${all}" $a)\n`.repeat(5000)}x "${all.repeat(20_000)}"`;
    const begun = performance.now();
    for (const text of [
      ...[doubling, lists, "$".repeat(200_000), `"${"\\".repeat(200_000)}`, "(".repeat(200_000)],
      ...["'".repeat(199_999), "$(".repeat(100_000), "a=(".repeat(60_000), "#".repeat(200_000)],
      ...[`x ${"y".repeat(199_000)}`, "\\\n".repeat(100_000), `$${"{a:-"}`.repeat(40_000)],
      `A="${"b ".repeat(9000)}"\n${"$A".repeat(90_000)}`,
    ])
      commandsOf(text);
    expect(performance.now() - begun).toBeLessThan(5000);
  });

  it("takes names of an object's own for names like any other", () => {
    expect(commandsOf("__proto__=a\nx $__proto__ $constructor")).toEqual([
      ["x", "a", "$constructor"],
    ]);
  });
});
