// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the variables are the shell's.
import { describe, expect, it } from "vitest";
import { commandsOf } from "./shell.ts";

/** The words of the last command of a script. */
const last = (text: string) => commandsOf(text)?.at(-1);

describe("commands of a shell script", () => {
  it("joins lines and takes quotes away", () => {
    expect(last("python a.py \\\n  --x 'b c' \\\r\n  --y=\"d  e\" f\\ g # h\n")).toEqual([
      ...["python", "a.py", "--x", "b c", "--y=d  e", "f g"],
    ]);
    expect(last(`a "\\"b\\" \\\\ $" '' ""'x'`)).toEqual(["a", '"b" \\ $', "", "x"]);
    expect(last("a\n# b \\\nc --d")).toEqual(["c", "--d"]);
  });

  it("puts in what the script sets, and keeps what comes from outside as it is written", () => {
    expect(last('RANK=16\nexport OUT="o/$RANK"\na --r $RANK --o "${OUT}/x" --h $HOME/m')).toEqual([
      ...["a", "--r", "16", "--o", "o/16/x", "--h", "$HOME/m"],
    ]);
    expect(last("a --r $RANK --n ${N:-8} --m ${M}")).toEqual([
      ...["a", "--r", "$RANK", "--n", "8", "--m", "${M}"],
    ]);
    expect(last(': "${R:=4}"\nS=${R:-9}\na $S ${T:-$R}')).toEqual(["a", "4", "4"]);
    expect(last('NOW=$(date +%s)\nN=`nproc`\na --t $NOW --n "$N"')).toEqual([
      ...["a", "--t", "$(date +%s)", "--n", "`nproc`"],
    ]);
    // A prefix is the command's own environment.
    expect(commandsOf("R=1 a $R")).toEqual([["a"]]);
  });

  it("splits a bare variable at its blanks, and drops what may be none or many", () => {
    expect(last('E="--b 1  --c 2"\na $E "$E"')).toEqual([
      "a",
      "--b",
      "1",
      "--c",
      "2",
      "--b 1  --c 2",
    ]);
    expect(last('E=""\na $E "$E"')).toEqual(["a", ""]);
    expect(last('a --x 1 "$@" ${@:2} $EXTRA "${MORE[@]}"')).toEqual(["a", "--x", "1"]);
  });

  it("knows arrays", () => {
    const script = `
ARGS=(
  --network_dim 32   # the rank
  --output_name "aki v1"
)
declare -a MORE=(--seed 1)
ARGS+=("\${MORE[@]}")
if [ "$FP8" = 1 ]; then
  ARGS+=(--fp8_base)
fi
accelerate launch train.py "\${ARGS[@]}"`;
    expect(last(script)).toEqual([
      ...["accelerate", "launch", "train.py", "--network_dim", "32"],
      ...["--output_name", "aki v1", "--seed", "1"],
    ]);
    expect(last('A=()\na "${A[@]}" b')).toEqual(["a", "b"]);
    expect(last('A=(x y)\na "$A" "--z=${A[*]}"')).toEqual(["a", "x", "--z=x y"]);
  });

  it("takes nothing for known that depends on a branch, a loop or input", () => {
    for (const setting of [
      'if [ "$1" = x ]; then R=8; else R=16; fi',
      "for R in 8 16; do",
      "[ -z $R ] && R=8",
      "true || R=8",
      "read R",
      "R=8\nunset R",
      "case $1 in\n a) R=8;;\n *) R=9;;\nesac",
      "function f {\n R=8\n}",
      "f() {\n R=8\n}",
      "while true; do R=8; done",
    ])
      expect([setting, last(`${setting}\na --r $R`)]).toEqual([setting, ["a", "--r", "$R"]]);
    // What is set behind it is sure again.
    expect(last("if x; then R=8; fi\nR=4\na --r $R")).toEqual(["a", "--r", "4"]);
    expect(last('O="--b"\nif x; then O="$O --c"; fi\na $O')).toEqual(["a", "--b"]);
  });

  it("skips redirections and texts for other programs", () => {
    const script = `cat > x.toml <<'EOF'
python not_this.py --rank 4
EOF
cat <<-END | tee y
	python nor_this.py
	END
nohup python a.py --b 1 > log.txt 2>&1 &
echo done`;
    expect(commandsOf(script)).toEqual([
      ["cat"],
      ["cat"],
      ["tee", "y"],
      ["nohup", "python", "a.py", "--b", "1"],
      ["echo", "done"],
    ]);
    expect(commandsOf("cd x && python a.py | tee b; (python c.py &> d)")).toEqual([
      ...[
        ["cd", "x"],
        ["python", "a.py"],
        ["tee", "b"],
        ["python", "c.py"],
      ],
    ]);
    expect(last('C="python a.py --b 1"\neval "$C"')).toEqual(["python", "a.py", "--b", "1"]);
  });

  it("never fails on half a script", () => {
    for (const text of [
      "a '",
      'a "',
      "a $(",
      "a ${",
      "a `",
      "A=(",
      "a <<E",
      "a \\",
      "$",
      "a >",
      "${A:-",
      ")",
      "fi",
    ])
      expect(Array.isArray(commandsOf(text))).toBe(true);
  });

  it("gives up on what no script of people is", () => {
    expect(commandsOf(`A=xxxxxxxxxx\n${"A=$A$A\n".repeat(40)}`)).toBeNull();
    expect(commandsOf(`A=(a b)\n${'A+=("${A[@]}")\n'.repeat(40)}`)).toBeNull();
    expect(commandsOf("$(".repeat(1000))).toBeNull();
    expect(commandsOf("a ".repeat(50_000))).toBeNull();
  });
});
