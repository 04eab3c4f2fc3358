// Boxes that pull work: the Python agent as a real process on the whole stack, with the small trainer.
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runScheduled } from "../scripts/local/worker.ts";
import { eventually, type Stack, startStack, trainer, trainerFolder } from "./stack.ts";

let stack: Stack;
let sweeping = true;
let sweeps: Promise<void>;
beforeAll(async () => {
  stack = await startStack({ LOST_AFTER_SEC: "4" });
  // The platform's cron, here every second.
  sweeps = (async () => {
    while (sweeping) {
      await runScheduled(stack.url);
      await sleep(1000);
    }
  })();
}, 120_000);
afterAll(async () => {
  sweeping = false;
  await sweeps;
  await stack.stop();
});

const exec = `python3 ${trainer} --config_file {config}`;

/** A box: an agent with a spool, a work folder and an id of its own. */
function box(labels: string, args: string[], options: Parameters<Stack["client"]>[1] = {}) {
  const home = mkdtempSync(join(stack.home, "box-"));
  const own = ["--labels", labels, "--spool", join(home, "spool"), "--work", join(home, "work")];
  return { home, ...stack.client(["agent", ...own, ...args], options) };
}

/** Queues a run of the small trainer for boxes with this label. */
async function queue(label: string, settings: Record<string, string | number> = {}, more = {}) {
  const { config, output } = trainerFolder(stack.home, settings);
  const text = readFileSync(config, "utf8");
  const { task_id } = await stack.api("/api/tasks", {
    config: { text, path: "my_lora.toml" },
    queue: { labels: [label], ...more },
  });
  return { id: task_id as number, output, text };
}

const task = (id: number) => stack.api(`/api/tasks/${id}`);
const ended = (id: number, status: string) =>
  eventually(`task ${id} to be ${status}`, async () => (await task(id)).status === status, 60);
const steps = async (id: number) =>
  (await stack.api(`/api/tasks/${id}/logs?max_points=10000`)).points.map((p: number[]) => p[0]);

describe("the queue command", () => {
  it("queues files with their options, and shows what waits, for what, and where in line", async () => {
    const files = [1, 2].map((n) => trainerFolder(stack.home, { output_name: `night${n}` }).config);
    const data = join(stack.home, "data.toml");
    writeFileSync(
      data,
      "[[datasets]]\nbatch_size = 3\n[[datasets.subsets]]\nimage_dir = '/data'\n",
    );
    const separate = trainerFolder(stack.home, {
      output_name: "night3",
      dataset_config: data,
    }).config;
    const first = await stack.client([
      "queue",
      String(files[0]),
      "--labels",
      "nobody",
      "--group",
      "night",
    ]).ended;
    expect(first.code, first.out).toBe(0);
    const id = Number(first.out.match(/task (\d+) \(night1\)/)?.[1]);
    const more = await stack.client(
      [
        "queue",
        String(files[1]),
        separate,
        join(stack.home, "none.toml"),
        "--labels",
        "nobody,24gb",
      ].concat([
        "--priority",
        "3",
        "--after",
        String(id),
        "--tag",
        "kind=style",
        "--max-attempts",
        "2",
      ]),
    ).ended;
    expect(more.code).toBe(1);
    expect(more.out).toContain("none.toml: not queued");
    const [third, second] = (await stack.api("/api/tasks?limit=2")).items;
    expect(second).toMatchObject({ task_name: "night2", priority: 3, tags: { kind: "style" } });
    expect(third).toMatchObject({ task_name: "night3", batch_size: 3, data_dir: "/data" });
    const shown = await stack.client(["queue", "--mine"]).ended;
    expect(shown.out).toMatch(new RegExp(`night2 .*waiting: after ${id} \\(pending\\)`));
    expect(shown.out).toMatch(/night1 .*ready/);
    for (const task of [id, second.id, third.id]) await stack.api(`/api/tasks/${task}/cancel`, {});
    expect((await stack.client(["queue"]).ended).out).toContain("nothing waits in the queue");
  });
});

describe("an agent", () => {
  it("pulls what fits, one after another, and ends when it has been idle", async () => {
    const first = await queue("plain");
    const second = await queue("plain", { max_train_epochs: 2 }, { priority: 5 });
    const other = await queue("another-box");
    const idle = join(stack.home, "was-idle");
    const { ended: agent, home } = box("plain,24gb", [
      ...["--exec", exec, "--max-idle", "3s", "--on-idle", `touch '${idle}'`],
      ...["--hourly-price", "0.5"],
    ]);
    const { code, out } = await agent;
    expect(code, out).toBe(0);
    expect(out).toContain("safe to destroy this box: 2 runs");
    expect(out).toContain("no work for 3s: the agent ends");
    expect(out).not.toMatch(/the agent ends.*waiting for work/s);
    expect(existsSync(idle)).toBe(true);
    // Not only when the ledger, which may hold back an answer for 20 s, has answered once more.
    expect(Date.now() - Date.parse((await task(first.id)).finished_at)).toBeLessThan(15_000);
    for (const { id } of [first, second])
      expect(await task(id)).toMatchObject({ status: "success", attempt: 1, hourly_price: 0.5 });
    expect((await task(second.id)).started_at < (await task(first.id)).started_at).toBe(true);
    expect(await steps(first.id)).toEqual(Array.from({ length: 120 }, (_, i) => i + 1));
    const written = join(home, "work", `task-${first.id}-attempt-1`, "my_lora.toml");
    expect(readFileSync(written, "utf8")).toBe(first.text);
    const { items } = await stack.api(`/api/weights?task_id=${first.id}&kind=final`);
    expect(items).toMatchObject([{ state: "complete", verified: "sha256" }]);
    expect(await task(other.id)).toMatchObject({ status: "pending", attempt: 0 });
  });

  it("goes on from the state that a dead box left", async () => {
    const { id, output } = await queue("resumable", {
      max_train_epochs: 6,
      save_every_n_epochs: 1,
      sleep: 0.05,
    });
    const args = ["--exec", `${exec} --save_state --resume {state}`, "--once"];
    const dying = box("resumable", args);
    const stored = () =>
      stack.api(`/api/weights?task_id=${id}&kind=state&state=complete&limit=200`);
    await eventually(
      "a training state to be stored",
      async () =>
        (await stored()).items.filter((w: { group: string }) => w.group?.endsWith("-state"))
          .length >= 2,
      60,
    );
    // The whole box goes: the agent, the client that it started, and the trainer.
    const children = (await import("node:child_process")).execFileSync("pgrep", ["-f", dying.home]);
    for (const pid of String(children).trim().split("\n").map(Number))
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself between the two.
      }
    await dying.ended;
    await eventually("its lease to end", async () => (await task(id)).status === "pending", 30);
    const { ended: agent } = box("resumable", args);
    const { code, out } = await agent;
    expect(code, out).toBe(0);
    expect(out).toMatch(/goes on from aki-00000\d-state of attempt 1/);
    expect(out).toContain("resume training from local state");
    const whole = await task(id);
    expect(whole).toMatchObject({ status: "success", attempt: 2 });
    expect(whole.attempts).toMatchObject([
      { attempt: 2, status: "success" },
      { attempt: 1, status: "failed", failure_reason: "lost" },
    ]);
    expect(await steps(id)).toEqual(Array.from({ length: 180 }, (_, i) => i + 1));
    expect(existsSync(join(output, "aki.safetensors"))).toBe(true);
  }, 180_000);

  it("stops a run that is cancelled, and pulls the next", async () => {
    const long = await queue("cancelled", { max_train_epochs: 500, sleep: 0.05 }, { priority: 1 });
    const next = await queue("cancelled", { max_train_epochs: 1 });
    const { ended: agent } = box("cancelled", ["--exec", exec, "--max-idle", "3s"]);
    await eventually("its first steps", async () => (await steps(long.id)).length > 0, 60);
    await stack.api(`/api/tasks/${long.id}/cancel`, {});
    const { code, out } = await agent;
    expect(code, out).toBe(0);
    expect(await task(long.id)).toMatchObject({ status: "cancelled" });
    expect(await task(next.id)).toMatchObject({ status: "success" });
  });

  it("finishes what runs when it is told to end, and gives it back when told twice", async () => {
    const { id } = await queue("drained", { max_train_epochs: 4, sleep: 0.02 });
    const after = await queue("drained");
    const polite = box("drained", ["--exec", exec]);
    await eventually("its first steps", async () => (await steps(id)).length > 0, 60);
    polite.child.kill("SIGTERM");
    const { code, out } = await polite.ended;
    expect(code, out).toBe(0);
    expect(out).toContain("finishes the run that it has first");
    expect(await task(id)).toMatchObject({ status: "success" });
    expect(await task(after.id)).toMatchObject({ status: "pending" });

    const long = await queue("reclaimed", { max_train_epochs: 500, sleep: 0.05 });
    const spot = box("reclaimed", ["--exec", exec, "--spot"]);
    await eventually("its first steps", async () => (await steps(long.id)).length > 0, 60);
    spot.child.kill("SIGTERM");
    await spot.ended;
    await eventually(
      "the run to wait again",
      async () => (await task(long.id)).status === "pending",
      30,
    );
    const back = await task(long.id);
    expect(back.attempts).toMatchObject([{ attempt: 1, failure_reason: "preempted" }]);
    await stack.api(`/api/tasks/${long.id}/cancel`, {});
    expect(await ended(long.id, "cancelled")).toBe(true);
  }, 180_000);

  it("fills secrets from its own environment, and begins nothing without them", async () => {
    const secret = {
      wandb_api_key: "0123456789abcdef0123456789abcdef01234567",
      max_train_epochs: 1,
    };
    const without = await queue("secret", secret);
    const lacking = box("secret", ["--exec", exec, "--once"]);
    expect((await lacking.ended).out).toContain("set WANDB_API_KEY");
    expect(await task(without.id)).toMatchObject({ status: "failed", attempt: 1 });
    expect((await task(without.id)).error_message).toContain("WANDB_API_KEY");

    const having = await queue("secret", secret);
    const { ended: agent, home } = box("secret", ["--exec", exec, "--once"], {
      env: { WANDB_API_KEY: "put-in-here" },
    });
    const { code, out } = await agent;
    expect(code, out).toBe(0);
    expect(await task(having.id)).toMatchObject({ status: "success" });
    const work = join(home, "work", `task-${having.id}-attempt-1`);
    expect(readFileSync(join(work, "my_lora-with-secrets.toml"), "utf8")).toContain("put-in-here");
  });

  it("lets no value of the ledger's become a command", async () => {
    const marker = join(stack.home, "was-run");
    const text = 'network_module = "networks.lora"\npretrained_model_name_or_path = "m"\n';
    const { task_id } = await stack.api("/api/tasks", {
      config: { text, path: `x; touch ${marker}; $(touch ${marker}).toml` },
      queue: { labels: ["hostile"] },
    });
    const script = join(stack.home, "show.py");
    // In one write, so that no line of the agent's own comes in between.
    writeFileSync(script, "import sys; print(f'WORDS {sys.argv[1:]}')\n");
    const { ended: agent } = box("hostile", [
      "--exec",
      `python3 ${script} --config {config} end`,
      "--once",
    ]);
    const { out } = await agent;
    expect(out).toMatch(/WORDS \['--config', '[^']*\.toml', 'end'\]/);
    expect(existsSync(marker)).toBe(false);
    expect((await task(task_id)).status).not.toBe("pending");
  });

  it("runs one run a GPU, each seeing its own, at the same time", async () => {
    const seen = join(stack.home, "seen");
    const script = join(stack.home, "see.py");
    writeFileSync(
      script,
      // Each waits for the other to begin; alone, one ends at last and is found out.
      "import os, sys, time\n" +
        "out = open(sys.argv[1] + sys.argv[2], 'w')\n" +
        "assert os.environ['ASCEND_RT_VISIBLE_DEVICES'] == os.environ['CUDA_VISIBLE_DEVICES']\n" +
        "out.write(os.environ['CUDA_VISIBLE_DEVICES'] + ' ' + str(time.time()))\n" +
        "out.flush(); until = time.time() + 60\n" +
        "there = lambda n: os.path.exists(sys.argv[1] + n) and os.path.getsize(sys.argv[1] + n) > 0\n" +
        "while not (there('0') and there('1')) and time.time() < until: time.sleep(0.05)\n" +
        "out.write(' ' + str(time.time()))\n",
    );
    await queue("two");
    await queue("two");
    const both = box("two", [
      "--exec",
      `python3 ${script} ${seen} {gpu} {config}`,
      "--gpus",
      "0,1",
      "--once",
    ]);
    const { code, out } = await both.ended;
    expect(code, out).toBe(0);
    const [first = [], second = []] = [0, 1].map((n) =>
      readFileSync(`${seen}${n}`, "utf8").split(" "),
    );
    expect([first[0], second[0]]).toEqual(["0", "1"]);
    // Each began before the other ended.
    expect(Math.max(Number(first[1]), Number(second[1]))).toBeLessThan(
      Math.min(Number(first[2]), Number(second[2])),
    );
  });

  it("joins by a one-time token, and knows nothing but what it pulled", async () => {
    const other = await queue("somebody-else");
    const { id } = await queue("enrolled", { max_train_epochs: 1 });
    const command = `python3 ${trainer} --config_file {config}`;
    const made = await stack.client([
      "enrol",
      "--labels",
      "enrolled",
      "--exec",
      command,
      "--shared",
    ]).ended;
    expect(made.code, made.out).toBe(0);
    const token = String(made.out.match(/LEDGER_ENROL=(\S+)/)?.[1]);
    const login = join(mkdtempSync(join(stack.home, "login-")), "login.json");
    const env = { LEDGER_ENROL: token, LEDGER_LOGIN: login };
    const joined = await box("enrolled", ["--exec", command, "--once"], { env, key: "" }).ended;
    expect(joined.code, joined.out).toBe(0);
    expect(joined.out).toContain("safe to destroy this box");
    expect(joined.out).not.toContain(token);
    expect(await task(id)).toMatchObject({ status: "success" });
    const { key } = JSON.parse(readFileSync(login, "utf8"));
    for (const path of [`/api/tasks/${other.id}`, "/api/tasks", "/api/queue", "/api/boxes"])
      await expect(stack.api(path, undefined, key)).rejects.toThrow(/40[34]/);
    // The start script runs again: the token is spent, the stored key is not.
    const next = await queue("enrolled", { max_train_epochs: 1 });
    const again = await box("enrolled", ["--exec", command, "--once"], { env, key: "" }).ended;
    expect(again.code, again.out).toBe(0);
    expect(await task(next.id)).toMatchObject({ status: "success" });
    const stolen = await box("enrolled", ["--exec", command, "--once"], {
      env: { ...env, LEDGER_LOGIN: join(stack.home, "another.json") },
      key: "",
    }).ended;
    expect(stolen.code).toBe(1);
    expect(stolen.out).toContain("was used already");
  });

  it("runs another user's run only on a box that an admin shares, and says so", async () => {
    const member = await stack.key("anna");
    const { config } = trainerFolder(stack.home, { max_train_epochs: 1 });
    const { task_id: id } = await stack.api(
      "/api/tasks",
      {
        config: { text: readFileSync(config, "utf8"), path: "my_lora.toml" },
        queue: { labels: ["annas"] },
      },
      member,
    );
    const idle = await box("annas", ["--exec", exec, "--max-idle", "1s"]).ended;
    expect(idle.code, idle.out).toBe(0);
    expect(await task(id)).toMatchObject({ status: "pending", attempt: 0 });
    const line = ["enrol", "--shared", "--exec", exec];
    const refused = await stack.client(line, { key: member }).ended;
    expect(refused.code).toBe(1);
    expect(refused.out).toContain("ask one to run `lora-ledger enrol --shared`");
    const made = await stack.client(line).ended;
    expect(made.out).toContain("it runs everyone’s runs");
    const env = {
      LEDGER_ENROL: String(made.out.match(/LEDGER_ENROL=(\S+)/)?.[1]),
      LEDGER_LOGIN: join(mkdtempSync(join(stack.home, "login-")), "login.json"),
    };
    const shared = await box("annas", ["--exec", exec, "--once"], { env, key: "" }).ended;
    expect(shared.code, shared.out).toBe(0);
    expect(await task(id)).toMatchObject({ status: "success", attempt: 1 });
  });

  it("says what is wrong with its command line before it asks for work", async () => {
    for (const [command, said] of [
      ["train {cfg}", "{cfg}, which is no placeholder"],
      ["train", "must hold {config}"],
    ]) {
      const { code, out } = await box("x", ["--exec", String(command)]).ended;
      expect(code).toBe(2);
      expect(out).toContain(said);
    }
  });
});
