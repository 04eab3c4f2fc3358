/** A night's queue, boxes that work it off and who was told, made through the API: for the pictures in docs/. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { sql } from "drizzle-orm";
import { openDatabase } from "./database.ts";
import type { Training } from "./demo.ts";
import { apiOf } from "./demo-api.ts";

const base = `# a sweep's base
pretrained_model_name_or_path = "./models/sd_xl_base_1.0.safetensors"
network_module = "networks.lora"
network_dim = 16
learning_rate = 0.0001
optimizer_type = "AdamW8bit"
train_batch_size = 2
`;

const machines = [
  {
    name: "runpod-eu-41",
    gpu: "NVIDIA GeForce RTX 4090",
    memory: 23.6,
    price: 0.44,
    labels: ["sdxl", "fast"],
    work: 4,
  },
  { name: "vast-7731", gpu: "NVIDIA L40S", memory: 45.1, price: 0.69, labels: ["sdxl"], work: 2 },
  {
    name: "autodl-cn-08",
    gpu: "NVIDIA GeForce RTX 3060",
    memory: 11.7,
    price: 0.18,
    labels: ["sd15"],
    work: 0,
  },
];

/**
 * Makes them, and has all runs have taken as long as their steps say, over the last weeks. Answers with the runs
 * that still train, and what ends the receiver of its messages.
 */
export async function seedBoard(
  url: string,
  admin: string,
  databaseUrl: string,
): Promise<{ training: Training[]; close: () => void }> {
  const training: Training[] = [];
  const api = apiOf(url, admin);
  const receiver = createServer((request, response) => {
    request.resume();
    response.writeHead(request.url === "/away" ? 503 : 200).end();
  });
  await new Promise<void>((done) => receiver.listen(0, "127.0.0.1", done));
  const { port } = receiver.address() as AddressInfo;
  await api("/api/webhooks", { name: "team channel", url: `http://127.0.0.1:${port}/` });
  await api("/api/webhooks", {
    ...{ name: "pager", url: `http://127.0.0.1:${port}/away` },
    kinds: ["failed", "lost"],
  });
  await api("/api/sweeps", {
    ...{ config: { text: base, format: "toml" }, experiment_group: "rank-sweep" },
    ...{ task_name: "rank-sweep", method: "grid" },
    space: { network_dim: [8, 16, 32, 64], learning_rate: [0.0001, 0.0002, 0.0004] },
    queue: { labels: ["sdxl"], min_gpu_memory_gb: 16 },
  });
  const { task_id: last } = await api("/api/tasks", {
    ...{
      task_name: "flux-portrait-r32",
      experiment_group: "flux",
      queue: { labels: ["flux"], min_gpu_memory_gb: 80 },
    },
  });
  await api("/api/tasks", {
    ...{
      task_name: "flux-portrait-r32 at 1024",
      experiment_group: "flux",
      queue: { depends_on: [last] },
    },
  });
  for (const { name, gpu, memory, price, labels, work } of machines) {
    const enrolment = { name, hourly_price: price, shared: true };
    const { token } = await api("/api/boxes/enrol", enrolment);
    const { key } = await api("/api/boxes/exchange", { token, gpu_info: gpu });
    const own = String(key);
    for (let n = 0; n <= work; n++) {
      const claim = { agent: `${name}/gpu0`, labels, gpu: { name: gpu, memory_gb: memory } };
      const { task } = await api(
        "/api/queue/claim",
        { ...claim, node_info: { hostname: name } },
        own,
      );
      if (typeof task !== "object" || task === null) break;
      const id: unknown = Reflect.get(task, "id");
      const total = 1200;
      const until = n < work ? total : 500;
      const logs = Array.from({ length: until / 20 }, (_, i) => ({
        step: (i + 1) * 20,
        metrics: { loss: 0.08 + 0.1 * Math.exp(-i / 12), "gpu.0.util": 96, "gpu.0.mem_mb": 17_900 },
      }));
      const progress = { step: until, total_steps: total, eta_sec: (total - until) * 1.1 };
      await api(`/api/tasks/${id}/heartbeat`, { attempt: 1, seq: 1, progress, logs }, own);
      if (n < work) {
        const failed = name === "vast-7731" && n === 1;
        const end = failed
          ? { status: "failed", failure_reason: "oom", error_message: "CUDA out of memory" }
          : { status: "success" };
        await api(`/api/tasks/${id}/finish`, { attempt: 1, ...end }, own);
      } else training.push({ id: Number(id), key: own, seq: 1, step: until, total, floor: 0.08 });
    }
  }
  await api("/api/storage/rules", {
    ...{ name: "Checkpoints", rule: { best: { count: 3 }, last: 1, days: 30 }, active: true },
  });
  const db = openDatabase({ url: databaseUrl });
  const back = (from: string, seconds: string) =>
    sql.raw(`strftime('%Y-%m-%dT%H:%M:%fZ', ${from}, '-' || (${seconds}) || ' seconds')`);
  const took = sql`coalesce(last_step, 0) * 4`;
  const sum = (column: "duration_sec" | "cost") =>
    sql`(select sum(${sql.raw(column)}) from task_attempt a where a.task_id = training_task.id)`;
  await db.batch([
    db.run(
      sql`update task_attempt set started_at = ${back("coalesce(finished_at, heartbeat_at)", "last_step * 4")}`,
    ),
    db.run(sql`update task_attempt set duration_sec = ${took}, cost = ${took} / 3600.0 * hourly_price
      where status <> 'running'`),
    db.run(sql`update training_task set total_duration_sec = ${sum("duration_sec")}, cost = ${sum("cost")},
      created_at = ${back("'now'", "(select max(id) - training_task.id from training_task) * 30000")},
      started_at = (select min(started_at) from task_attempt a where a.task_id = training_task.id)`),
    db.run(sql`update box set enrolled_at = ${back("'now'", "7 * 3600")}`),
  ]);
  db.$client.close();
  return { training, close: () => receiver.close() };
}
