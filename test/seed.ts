// A ledger of any size, made by the database itself: what budgets and the benchmark are measured on.
import { sql } from "drizzle-orm";
import { pointsOf, summarise, toSegment } from "../src/metrics/points.ts";
import { sumUp } from "../src/metrics/sum-up.ts";
import type { Db } from "../src/platform/db/client.ts";

/** Tasks a statement: a batch of sqld's own must not hold its lock for many seconds. */
const AT_ONCE = 10_000;

/** Does it again, up to ten times, where another writer or a checkpoint had the database. */
async function unlessBusy<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++)
    try {
      return await work();
    } catch (error) {
      if (tries === 10 || !(error instanceof Error && /BUSY|locked/.test(error.message)))
        throw error;
      await new Promise((done) => setTimeout(done, 1000));
    }
}

/** A loss that falls, a little rough, and a learning rate: `points` steps, 3 s apart. */
function curve(points: number) {
  const segment = toSegment(
    Array.from({ length: points }, (_, i) => ({
      step: i + 1,
      epoch: Math.floor((i * 10) / points),
      time: new Date(Date.UTC(2026, 0, 1) + i * 3000).toISOString(),
      metrics: { loss: Number((0.1 + 1 / (i + 2) + ((i * 37) % 11) / 500).toFixed(4)), lr: 1e-4 },
    })),
  );
  const each = segment.metrics.map((metric) => [metric, pointsOf(segment, metric)] as const);
  const json = (make: (points: ReturnType<typeof pointsOf>) => unknown) =>
    JSON.stringify(Object.fromEntries(each.map(([metric, all]) => [metric, make(all)])));
  const stored = [{ a: 1, q: 1, m: segment.metrics, p: segment.rows }];
  const drawn = sumUp(stored);
  return {
    points,
    rows: JSON.stringify(stored),
    summary: json(summarise),
    whole: drawn.summary,
    blocks: drawn.blocks,
    loss: summarise(each[0]?.[1] ?? []),
  };
}

/**
 * Adds tasks up to `total`, spread as in real use: a few users with most of the runs, three of four
 * in success, some hundred groups, one in twenty in the trash, two years of dates. Ended ones have
 * an attempt and a chunk of `points` log points; every task has its file and, if it ended, figures.
 * `progress` is told how many there are.
 */
export async function seedTasks(
  db: Db,
  options: {
    total: number;
    userIds: number[];
    points?: number;
    progress?: (tasks: number) => void;
  },
): Promise<void> {
  const { total, userIds, points = 20, progress } = options;
  const made = curve(points);
  const users = JSON.stringify(userIds);
  const last = made.loss.last[3];
  const [{ had = 0 } = {}] = await db.all<{ had: number }>(
    sql`select count(*) as had from training_task`,
  );
  for (let from = had + 1; from <= total; from += AT_ONCE) {
    const to = Math.min(total, from + AT_ONCE - 1);
    const [{ begun = 0 } = {}] = await db.all<{ begun: number }>(
      sql`select coalesce(max(id), 0) as begun from training_task`,
    );
    await unlessBusy(() =>
      db.batch([
        db.run(sql`
        with recursive n(i) as (select cast(${from} as integer) union all select i + 1 from n where i < ${to}),
        -- A cheap hash, so that the columns do not go hand in hand.
        spread(i, a, b, c) as (select i, (i * 2654435761) % 1000, (i * 40503 + 7) % 997, (i * 69069 + 1) % 991 from n)
        insert into training_task (user_id, task_name, status, attempt, experiment_group, model_type, base_arch, trainer,
          network_algo, lora_rank, lora_alpha, learning_rate, batch_size, epochs, optimizer, scheduler, seed,
          created_at, updated_at, started_at, heartbeat_at, finished_at, final_loss, convergence_step, total_duration_sec,
          failure_reason, tags, deleted_at, registration_key, registration_hash)
        select ${users} ->> ('$[' || ((a * a / 1000) * ${sql.raw(String(userIds.length))} / 1000) || ']'), 'run ' || i,
          case when b < 750 then 'success' when b < 880 then 'failed' when b < 950 then 'cancelled' when b < 985 then 'pending' else 'running' end,
          case when b between 950 and 984 then 0 else 1 end,
          'group ' || (c % 300), case when a % 4 = 0 then 'llm' else 'stable-diffusion' end,
          case when a % 4 = 0 then 'llm' when a % 4 = 1 then 'flux' else 'sdxl' end,
          case when a % 4 = 0 then 'axolotl' else 'kohya' end, 'lora',
          1 << (2 + b % 6), 1 << (1 + b % 6), (1 + c % 9) * 1e-5, 1 + c % 8, 5 + a % 20,
          case when c % 3 = 0 then 'adamw8bit' when c % 3 = 1 then 'prodigy' else 'lion' end, 'cosine', i,
          strftime('%Y-%m-%dT%H:%M:%fZ', '2024-06-01', '+' || i || ' minutes'),
          strftime('%Y-%m-%dT%H:%M:%fZ', '2024-06-01', '+' || i || ' minutes'),
          '2026-01-01T00:00:00.000Z', '2026-01-01T00:10:00.000Z',
          case when b < 950 then '2026-01-01T01:00:00.000Z' end,
          case when b < 750 then 0.05 + (a + c) / 4000.0 end, case when b < 750 then 100 + c end, 600 + b,
          case when b between 750 and 879 then 'error' end,
          json_object('kind', case when a % 2 = 0 then 'style' else 'character' end),
          case when c % 20 = 0 then '2026-02-01T00:00:00.000Z' end, 'seed:' || i, 'h'
        from spread`),
        db.run(sql`
        insert into task_attempt (task_id, attempt, status, heartbeat_at, finished_at, last_seq, received, open_chunk, open_count,
          points, bytes, first_step, last_step, summary)
        select id, 1, status, heartbeat_at, finished_at, 1, 1, 2, 0, ${points}, ${made.rows.length}, 1, ${points}, ${made.summary}
        from training_task where id > ${begun} and attempt = 1`),
        db.run(sql`
        insert into task_config (task_id, format, path, sha256, snapshot, original)
        select id, 'toml', 'my_lora.toml', 'x', json_object('network_dim', lora_rank, 'learning_rate', learning_rate, 'optimizer_type', optimizer),
          x'6e6574776f726b5f64696d203d203332'
        from training_task where id > ${begun}`),
        db.run(sql`
        insert into task_text (rowid, task_name, experiment_group, tags)
        select id, task_name, experiment_group, json_object('kind', 'kind ' || (tags ->> 'kind')) from training_task where id > ${begun}`),
        db.run(sql`
        insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, summary, blocks, points, form)
        select id, 1, 1, 1, 1, ${points}, ${points}, ${made.rows.length}, ${made.whole}, ${made.blocks}, ${made.rows}, 2
        from training_task where id > ${begun} and attempt = 1`),
        db.run(sql`
        insert into metric_summary (task_id, metric, count, nonfinite_count, min, max, last, sum, best, best_step)
        select id, 'loss', ${points}, 0, final_loss * 0.9, 1.0, coalesce(final_loss, ${typeof last === "number" ? last : null}), ${points} * 0.2,
          final_loss * 0.95, ${points}
        from training_task where id > ${begun} and status in ('success', 'failed', 'cancelled')`),
      ]),
    );
    progress?.(to);
  }
}

/** A run in success with `points` log points in chunks of 1,000; gives its id. */
export async function seedLongRun(db: Db, userId: number, points: number): Promise<number> {
  const made = curve(1000);
  const chunks = points / made.points;
  const [task] = await db.all<{ id: number }>(sql`
    insert into training_task (user_id, task_name, status, attempt, started_at, finished_at, final_loss, registration_key, registration_hash)
    values (${userId}, 'a very long run', 'success', 1, '2026-01-01T00:00:00.000Z', '2026-01-02T00:00:00.000Z', 0.1, 'seed:long', 'h')
    returning id`);
  if (!task) throw new Error("the long run's row did not come back");
  await db.batch([
    db.run(sql`
      insert into task_attempt (task_id, attempt, status, last_seq, received, open_chunk, points, bytes, first_step, last_step, summary)
      values (${task.id}, 1, 'success', ${chunks}, ${chunks}, ${chunks} + 1, ${points}, ${chunks * made.rows.length}, 1, ${points}, ${made.summary})`),
    db.run(sql`
      with recursive n(i) as (select 0 union all select i + 1 from n where i < ${chunks - 1})
      insert into log_chunk (task_id, attempt, chunk, arrival, first_step, last_step, count, size, summary, blocks, points, form)
      select ${task.id}, 1, i + 1, i + 1, i * 1000 + 1, (i + 1) * 1000, 1000, ${made.rows.length}, ${made.whole}, ${made.blocks}, ${made.rows}, 2
      from n`),
  ]);
  return task.id;
}
