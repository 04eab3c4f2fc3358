// The commands of all pages, as they are written there, against a ledger that `npm start` started: README first, as its
// readers do, then the pages, each in a shell of its own. A Chinese page's commands come behind those of its English one, where
// they are not word for word the same.
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chineseOf, commandsOf, readPages } from "../scripts/docs.ts";
import { freePort, root } from "../scripts/local/processes.ts";
import { startReceiver } from "./receiver.ts";
import { eventually, runProcess } from "./stack.ts";

/** Starts a trainer as `accelerate launch` does: its own options are left out. */
const accelerate = `#!/usr/bin/env bash
shift
while [ "\${1%.py}" = "$1" ]; do shift; done
exec python3 "$@"
`;

/** A folder as a reader has it: the repository, and in the same place a trainer's, with the small trainer of the examples. */
function workplace() {
  const folder = mkdtempSync(join(tmpdir(), "lora-ledger-docs-"));
  for (const name of ["client", "node_modules", "package.json"])
    symlinkSync(join(root, name), join(folder, name));
  mkdirSync(join(folder, "scripts"));
  for (const name of readdirSync(join(root, "scripts")))
    symlinkSync(join(root, "scripts", name), join(folder, "scripts", name));
  cpSync(join(root, "examples"), join(folder, "examples"), { recursive: true });
  const example = (name: string) => readFileSync(join(root, "examples/first-run", name), "utf8");
  const config = (epochs: number) =>
    example("my_lora.toml").replace("max_train_epochs = 10", `max_train_epochs = ${epochs}`);
  const write = (target: string, text: string) => {
    mkdirSync(join(folder, dirname(target)), { recursive: true });
    writeFileSync(join(folder, target), text);
  };
  // As many as the first checkpoint and the final file need; elsewhere one will do.
  write("examples/first-run/my_lora.toml", config(5));
  const night = ["night/aki-r8.toml", "night/aki-r16.toml"];
  for (const target of ["my_lora.toml", ...night, "config/autosave/20260501-220000.toml"])
    write(target, config(1));
  for (const target of ["train_network.py", "scripts/stable/train_network.py"])
    write(target, example("train_network.py"));
  write(
    "train.sh",
    "accelerate launch --num_cpu_threads_per_process=8 ./scripts/stable/train_network.py --config_file my_lora.toml\n",
  );
  write("bin/accelerate", accelerate);
  chmodSync(join(folder, "bin/accelerate"), 0o755);
  return folder;
}

async function startLedger(folder: string) {
  const port = await freePort();
  const receiver = await startReceiver();
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    PATH: [join(folder, "bin"), join(root, "node_modules/.bin"), process.env.PATH].join(":"),
    LEDGER_LOCAL: join(folder, ".local"),
    LEDGER_SPOOL: join(folder, "box/spool"),
    LEDGER_LOGIN: join(folder, "box/login.json"),
    PORT: String(port),
  };
  delete env.LEDGER_URL;
  delete env.LEDGER_KEY;
  const ledger: ChildProcess = spawn("npm", ["start"], { cwd: folder, env });
  let said = "";
  for (const stream of [ledger.stdout, ledger.stderr])
    stream?.on("data", (data) => {
      said += data;
    });
  const ended = new Promise((done) => ledger.on("close", done));
  await eventually("npm start", () => {
    if (ledger.exitCode !== null) throw new Error(said);
    return said.includes("Ctrl-C ends it");
  });
  /** What a page writes for places outside of it. */
  const here: [string, string][] = [
    ["http://localhost:8787", `http://localhost:${port}`],
    ["https://hooks.slack.com/services/…", `${receiver.url}/slack`],
    ["https://open.feishu.cn/open-apis/bot/v2/hook/…", `${receiver.url}/feishu`],
    ["https://oapi.dingtalk.com/robot/send?access_token=…", `${receiver.url}/dingtalk`],
    ["https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=…", `${receiver.url}/wecom`],
  ];
  return {
    url: `http://localhost:${port}`,
    env,
    here: (text: string) => here.reduce((all, [from, to]) => all.replaceAll(from, to), text),
    async stop() {
      ledger.kill("SIGTERM");
      await ended;
      await receiver.close();
    },
  };
}

const isChinese = (path: string) => /\.zh(?:-CN)?\.md$/.test(path);

/** What a command does: without comments, and without what people write to each other. */
const bare = (text: string) =>
  text
    .replaceAll(/(^|\s)#.*$/gm, "")
    .replaceAll(/((?:reason|notes)\\?":\\?")[^"\\]*/g, "$1")
    .trim();

/** The commands of a page, and behind them those of its Chinese page that are not word for word the same. */
function commandsToRun(path: string, text: string, pages: ReadonlyMap<string, string>) {
  const own = commandsOf(text).map((block) => ({ ...block, path }));
  const known = new Set(own.map((block) => bare(block.text)));
  const chinese = chineseOf(path);
  return [
    ...own,
    ...commandsOf(pages.get(chinese) ?? "")
      .filter((block) => !known.has(bare(block.text)))
      .map((block) => ({ ...block, path: chinese })),
  ];
}

describe("the commands of README.md and its pages", () => {
  let folder: string;
  let ledger: Awaited<ReturnType<typeof startLedger>>;
  beforeAll(async () => {
    folder = workplace();
    ledger = await startLedger(folder);
  });
  afterAll(async () => {
    await ledger.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const all = readPages();
  const pages = [...all].filter(([path, text]) => !isChinese(path) && commandsOf(text).length);
  pages.sort(
    ([a], [b]) => Number(b === "README.md") - Number(a === "README.md") || (a < b ? -1 : 1),
  );

  it.each(pages)("%s", async (path, text) => {
    const blocks = commandsToRun(path, text, all).map((block) => {
      const code = ledger.here(block.text);
      const run =
        block.language === "python" ? `python3 - <<'END_OF_PYTHON'\n${code}END_OF_PYTHON\n` : code;
      return `echo '== ${block.path}:${block.line}'\n${run}`;
    });
    const script = join(folder, "page.sh");
    writeFileSync(script, `set -euo pipefail\n${blocks.join("\n")}`);
    const { code, out } = await runProcess("bash", [script], { cwd: folder, env: ledger.env })
      .ended;
    expect(code, out.slice(-4000)).toBe(0);
  });

  it("recorded each run, under the trainer that it is", async () => {
    const key = readFileSync(join(folder, ".local/key"), "utf8").trim();
    const answer = await fetch(`${ledger.url}/api/tasks?limit=200`, {
      headers: { Authorization: `Bearer ${key}` },
    });
    const { items } = (await answer.json()) as { items: { trainer: string; status: string }[] };
    expect(items.filter(({ status }) => status === "failed")).toEqual([]);
    const ended = items.filter(({ status }) => status === "success");
    expect(new Set(ended.map(({ trainer }) => trainer))).toEqual(
      new Set(["kohya", "lora-scripts", null]),
    );
  });
});
