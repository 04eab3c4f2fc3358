// The recipes of examples/orchestrators, run as they stand against the whole ledger, a box being played
// by the API. Airflow's is tried by hand (see its README): it takes Airflow itself.
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parse } from "yaml";
import { root } from "../scripts/local/processes.ts";
import { eventually, runProcess, type Stack, startStack } from "./stack.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
}, 120_000);
afterAll(() => stack.stop());

const recipe = (name: string) => join(root, "examples/orchestrators", name);

/** A folder with the script and settings, as the recipes want it. */
function folder() {
  const home = mkdtempSync(join(stack.home, "orchestrator-"));
  const lora = join(home, "lora");
  mkdirSync(lora);
  copyFileSync(recipe("train.sh"), join(lora, "train.sh"));
  chmodSync(join(lora, "train.sh"), 0o755);
  copyFileSync(join(root, "examples/first-run/my_lora.toml"), join(lora, "my_lora.toml"));
  return { home, lora };
}

const env = (more: Record<string, string> = {}) => ({
  PATH: process.env.PATH,
  LEDGER_URL: stack.url,
  LEDGER_KEY: stack.admin,
  POLL_SEC: "1",
  ...more,
});

const named = async (name: string) =>
  (await stack.api(`/api/tasks?filter=${encodeURIComponent(`task_name = '${name}'`)}`)).items;

/** Plays the box that the run of this name goes to. */
async function end(name: string, status: "success" | "failed") {
  const [task] = await eventually(`the run ${name}`, async () => {
    const found = await named(name);
    return found.length > 0 && found;
  });
  await stack.api(`/api/tasks/${task.id}/finish`, { status });
  return task;
}

it("train.sh queues once a name, waits, and says how it ended", async () => {
  const { lora } = folder();
  const run = (name: string) =>
    runProcess("./train.sh", ["my_lora.toml", name], { cwd: lora, env: env() }).ended;
  const first = run("recipe-1");
  const task = await end("recipe-1", "success");
  expect(task).toMatchObject({ lora_rank: 8, trainer: "kohya", status: "pending" });
  expect(await first).toMatchObject({ code: 0, out: expect.stringContaining(`task ${task.id}`) });
  expect((await run("recipe-1")).code).toBe(0);
  expect(await named("recipe-1")).toHaveLength(1);
  const second = run("recipe-2");
  await end("recipe-2", "failed");
  expect(await second).toMatchObject({ code: 1, out: expect.stringContaining("failed") });
  const refused = { cwd: lora, env: env({ LEDGER_KEY: "no.such.key" }) };
  expect((await runProcess("./train.sh", ["my_lora.toml", "recipe-3"], refused).ended).code).toBe(
    2,
  );
});

it("the crontab's line runs as cron would run it", async () => {
  const { home } = folder();
  mkdirSync(join(home, ".config"));
  writeFileSync(join(home, ".config/lora-ledger.key"), stack.admin);
  const line = readFileSync(recipe("crontab"), "utf8")
    .split("\n")
    .find((text) => /^\d/.test(text));
  // Five fields of time, then the command, in which a percent sign is escaped.
  const command = line?.split(" ").slice(5).join(" ").replaceAll("\\%", "%") ?? "";
  const { LEDGER_KEY: _, ...cron } = env({ HOME: home });
  const ran = runProcess("/bin/sh", ["-c", command], { env: cron }).ended;
  await end(`nightly-${new Date().toLocaleDateString("sv")}`, "success");
  expect((await ran).code).toBe(0);
});

it("the GitHub Actions step runs in bash as the runner starts it", async () => {
  const { lora } = folder();
  const { jobs } = parse(readFileSync(recipe("github-actions.yml"), "utf8"));
  const step = jobs.train.steps.find((one: { run?: string }) => one.run);
  expect(Object.keys(step.env)).toEqual(["LEDGER_URL", "LEDGER_KEY"]);
  const ran = runProcess("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", step.run], {
    cwd: lora,
    env: env({ GITHUB_RUN_ID: "77" }),
  }).ended;
  await end("gh-77", "failed");
  expect((await ran).code).toBe(1);
});

type HttpTask = {
  name: string;
  taskParams: {
    url: string;
    httpMethod: string;
    httpParams: { prop: string; httpParametersType: string; value: string }[];
    httpBody?: string;
    httpCheckCondition: "STATUS_CODE_DEFAULT" | "BODY_CONTAINS";
    condition?: string;
  };
};

it("DolphinScheduler's HTTP tasks send what the ledger takes, and see what they wait for", async () => {
  const tasks: HttpTask[] = JSON.parse(readFileSync(recipe("dolphinscheduler.json"), "utf8"));
  const parameters: Record<string, string> = {
    ledger_url: stack.url,
    ledger_key: stack.admin,
    "system.workflow.instance.id": "4711",
  };
  const filled = (text: string) =>
    text.replace(/\$\{([^}]+)\}/g, (_, name: string) => parameters[name] ?? `no ${name}`);
  /** One try of a task, judged as its server judges it. */
  const attempt = async (name: string) => {
    const task = tasks.find((one) => one.name === name);
    if (!task) throw new Error(`no task ${name}`);
    const { url, httpMethod, httpParams, httpBody, httpCheckCondition, condition } =
      task.taskParams;
    const of = (type: string) =>
      httpParams
        .filter((one) => one.httpParametersType === type)
        .map(({ prop, value }): [string, string] => [prop, filled(value)]);
    const query = new URLSearchParams(of("PARAMETER")).toString();
    const response = await fetch(`${filled(url)}${query && `?${query}`}`, {
      method: httpMethod,
      headers: of("HEADERS"),
      body: httpBody && filled(httpBody),
    });
    const body = await response.text();
    return httpCheckCondition === "BODY_CONTAINS"
      ? body.includes(condition ?? "\0")
      : response.status === 200;
  };
  expect(await attempt("queue")).toBe(true);
  expect(await attempt("queue")).toBe(true);
  expect(await named("ds-4711")).toHaveLength(1);
  expect(await attempt("ended")).toBe(false);
  await end("ds-4711", "success");
  expect(await attempt("ended")).toBe(true);
  expect(await attempt("succeeded")).toBe(true);
  parameters["system.workflow.instance.id"] = "4712";
  await attempt("queue");
  await end("ds-4712", "failed");
  expect([await attempt("ended"), await attempt("succeeded")]).toEqual([true, false]);
});
