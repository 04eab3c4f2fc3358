/**
 * Runs whose curves are hard to draw, made through the API: for the pictures of docs/curves.md. The same each
 * time, but for the clock.
 */
import { type Api, apiOf } from "./demo-api.ts";
import { random } from "./random.ts";

type Values = Record<string, number | string>;

/** Values of one report, whose body may have 1 MB, and its steps. */
const VALUES = 6000;
const STEPS = 2000;

/** Records the steps from `from` on of an attempt, and answers the last number of its reports. */
async function report(
  api: Api,
  id: number,
  { attempt, from, steps, valuesOf }: Part,
): Promise<number> {
  const start = Date.now() - steps * 1000;
  let seq = 0;
  const most = Math.min(STEPS, Math.floor(VALUES / Object.keys(valuesOf(from)).length));
  for (let first = from; first < from + steps; first += most) {
    const count = Math.min(most, from + steps - first);
    await api(`/api/tasks/${id}/heartbeat`, {
      ...{
        attempt,
        seq: ++seq,
        progress: { step: first + count - 1, total_steps: from + steps - 1 },
      },
      logs: Array.from({ length: count }, (_, n) => ({
        step: first + n,
        epoch: Math.floor((first + n) / 500),
        time: new Date(start + (first + n - from) * 1000).toISOString(),
        metrics: valuesOf(first + n),
      })),
    });
  }
  return seq;
}

type Part = { attempt: number; from: number; steps: number; valuesOf: (step: number) => Values };

/** Losses of diffusion training: few are large, and their mean goes down to `level`. */
const skewed = (draw: () => number, level: number) => (step: number) =>
  level * (1 + 2 * Math.exp(-step / 400)) * -Math.log(1 - draw() * 0.9999);

/** Makes the runs; answers their ids. */
export async function seedCurves(url: string, key: string) {
  const api = apiOf(url, key);
  const register = async (task_name: string, more: object = {}) =>
    Number(
      (await api("/api/tasks", { task_name, trainer: "sd-scripts", hourly_price: 1.2, ...more }))
        .task_id,
    );
  const finish = (id: number, attempt = 1) =>
    api(`/api/tasks/${id}/finish`, { attempt, status: "success" });
  const whole = async (
    name: string,
    steps: number,
    valuesOf: Part["valuesOf"],
    more: object = {},
  ) => {
    const id = await register(name, more);
    await report(api, id, { attempt: 1, from: 1, steps, valuesOf });
    await finish(id);
    return id;
  };

  const lengths: number[] = [];
  for (const [n, steps] of [1000, 5000, 20_000, 100_000].entries()) {
    const loss = skewed(random(n + 1), 0.11);
    lengths.push(
      await whole(`skewed, ${steps.toLocaleString("en")} steps`, steps, (step) => ({
        loss: loss(step),
      })),
    );
  }

  const calm = skewed(random(11), 0.1);
  const nan = await whole("loses its loss", 2000, (step) => ({
    loss: step > 1210 ? "NaN" : calm(step),
    grad_norm: step > 1210 ? "NaN" : 0.5 + calm(step),
  }));
  const even = random(12);
  const spike = await whole("one spike", 3000, (step) => ({
    loss: step === 2600 ? 40 : 0.09 + 0.1 * Math.exp(-step / 300) + 0.01 * even(),
  }));

  const resumed = await register("resumed twice");
  const going = skewed(random(13), 0.1);
  for (const [n, from] of [1, 801, 1501].entries()) {
    if (n > 0) await api(`/api/tasks/${resumed}/attempts`, { from_step: from - 1 });
    await report(api, resumed, {
      attempt: n + 1,
      from,
      steps: 900,
      valuesOf: (s) => ({ loss: going(s) }),
    });
  }
  await finish(resumed, 3);

  const draw = random(14);
  const blocks = Array.from({ length: 20 }, (_, n) => n);
  const sixty = await whole("sixty metrics", 600, (step) => ({
    loss: 0.1 + Math.exp(-step / 150) * 0.3 + draw() * 0.02,
    ...(step % 50 === 0 && { "val/loss": 0.12 + Math.exp(-step / 200) * 0.3 }),
    "lr/unet": 1e-4 * Math.min(1, step / 100),
    "lr/textencoder": 5e-5 * Math.min(1, step / 100),
    ...Object.fromEntries(
      blocks.map((n) => [`grad_norm/block.${n}`, 0.2 + n / 40 + draw() * 0.05]),
    ),
    ...Object.fromEntries(blocks.map((n) => [`weight_norm/block.${n}`, 1 + (n * step) / 9000])),
    ...Object.fromEntries(
      blocks.slice(0, 14).map((n) => [`timestep/loss.${n}`, 0.05 + n / 60 + draw() * 0.02]),
    ),
  }));

  const groups: number[] = [];
  for (let n = 0; n < 20; n++) {
    const lora_rank = [8, 16, 64][n % 3] ?? 8;
    const loss = skewed(random(100 + n), 0.08 + 0.02 * (n % 3) + 0.004 * (n % 5));
    groups.push(
      await whole(`rank ${lora_rank}, seed ${n}`, 1500, (step) => ({ loss: loss(step) }), {
        ...{ lora_rank, seed: n, experiment_group: "ranks" },
      }),
    );
  }
  return { lengths, nan, spike, resumed, sixty, groups };
}
