import { desc, eq, type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import { systemLast } from "../metrics/system.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import {
  decisions,
  type ModelChecks,
  metricSummary,
  model,
  modelReview,
  modelVersion,
  storedObject,
  taskConfig,
  trainingTask,
  weight,
} from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import { datasetAnswer, selectDatasets } from "../runs/dataset-facts.ts";
import { taskAnswer } from "../runs/fields.ts";
import { taskColumns } from "../runs/queries.ts";
import { findLoosened, modelChecks } from "./checks.ts";
import { checksChanges, parties } from "./parties.ts";
import { selectVersions, toVersion, versionAnswer } from "./queries.ts";

const sampleAnswer = z.object({
  weight_id: z.int(),
  filename: z.string(),
  sha256: z.string(),
  prompt: z.string().nullable(),
  seed: z.int().nullable(),
  step: z.int().nullable(),
  epoch: z.number().nullable(),
});

const figure = z.number().nullable();

export const provenanceAnswer = versionAnswer.extend({
  weight: z
    .object({
      attempt: z.int(),
      kind: z.string(),
      epoch: figure,
      step: z.int().nullable(),
      conv_rank: z.int().nullable(),
      tensor_count: z.int().nullable(),
      dtype: z.string().nullable(),
    })
    .nullable()
    .describe("Further facts that the file states; null if its row was purged."),
  task: taskAnswer
    .extend({
      config: z
        .object({ format: z.string(), path: z.string().nullable(), sha256: z.string() })
        .nullable(),
      config_snapshot: z.json(),
      curve: z.string().describe("The path of the run's loss curve."),
    })
    .nullable()
    .describe("The run; null if it was purged."),
  metrics: z.record(z.string(), z.object({ last: figure, min: figure, max: figure })),
  datasets: z.array(datasetAnswer),
  samples: z.array(sampleAnswer).describe("The latest 50."),
  review: z
    .object({
      decision: z.enum(decisions),
      reviewer: z.string(),
      reason: z.string().nullable(),
      at: z.string(),
      evidence: z.json().describe("The evidence behind the decision, as it was then."),
    })
    .nullable(),
  parties: z
    .array(z.string())
    .describe(
      "Users who trained, uploaded, made or submitted the version, and who therefore may not decide on it.",
    ),
  checks_changes: z
    .array(
      z.object({
        at: z.string(),
        by: z.string(),
        before: modelChecks,
        after: modelChecks,
        loosened: z.array(z.string()).describe("The checks that ask for less than before."),
      }),
    )
    .describe("Changes to the model's checks since another version was approved. The latest 20."),
  cost: z
    .object({
      run: figure.describe("The version's own run."),
      lineage: figure.describe("That run and all runs that it continues, by parent_task_id."),
    })
    .describe("In the unit of the boxes' hourly prices; null if no price is known."),
});

type ChecksChange = { at: string; by: string; before: ModelChecks; after: ModelChecks };

/** The runs of the version: its own, and those that it continues. */
const lineage = sql`
  with recursive line (id, parent, cost, depth) as (
    select t.id, t.parent_task_id, t.cost, 0 from training_task t where t.id = model_version.task_id
    union
    select t.id, t.parent_task_id, t.cost, depth + 1 from line join training_task t on t.id = line.parent where depth < 100)
  select sum(cost) from (select distinct id, cost from line)`;

/** A version with its origin, in one round trip. */
export async function readProvenance(db: Db, which: SQL | undefined) {
  const of = <T extends SQL>(what: T) =>
    sql`(select ${what} from ${modelVersion} join ${model} on ${model.id} = ${modelVersion.modelId} where ${which})`;
  const taskId = of(sql`${modelVersion.taskId}`);
  const { versions, files, runs, metrics, datasets, samples, reviews, costs, histories } =
    await chain(db, {
      versions: selectVersions(db, which),
      files: db
        .select({
          attempt: weight.attempt,
          kind: weight.kind,
          epoch: weight.epoch,
          step: weight.step,
          convRank: storedObject.convRank,
          tensorCount: storedObject.tensorCount,
          dtype: storedObject.dtype,
          metadata: storedObject.metadata,
        })
        .from(weight)
        .innerJoin(storedObject, eq(storedObject.id, weight.objectId))
        .where(eq(weight.id, of(sql`${modelVersion.weightId}`))),
      runs: db
        .select({
          task: taskColumns,
          snapshot: taskConfig.snapshot,
          config: {
            format: taskConfig.format,
            path: taskConfig.path,
            sha256: taskConfig.sha256,
          },
        })
        .from(trainingTask)
        .leftJoin(taskConfig, eq(taskConfig.taskId, trainingTask.id))
        .where(eq(trainingTask.id, taskId)),
      metrics: db
        .select({
          metric: metricSummary.metric,
          last: metricSummary.last,
          min: metricSummary.min,
          max: metricSummary.max,
        })
        .from(metricSummary)
        .where(eq(metricSummary.taskId, taskId))
        .orderBy(systemLast(sql`metric`), metricSummary.metric)
        .limit(500),
      datasets: selectDatasets(db, taskId),
      samples: db
        .select({
          weightId: weight.id,
          filename: weight.filename,
          sha256: weight.sha256,
          size: weight.size,
          prompt: weight.prompt,
          seed: weight.seed,
          step: weight.step,
          epoch: weight.epoch,
          objectKey: storedObject.objectKey,
          mediaType: storedObject.mediaType,
        })
        .from(weight)
        .innerJoin(storedObject, eq(storedObject.id, weight.objectId))
        .where(
          sql`${weight.taskId} = ${taskId} and ${weight.kind} = 'sample' and ${storedObject.state} = 'complete' and (
          (${weight.state} = 'complete' and ${weight.deletedAt} is null)
          or exists (select 1 from review_sample r where r.weight_id = ${weight.id}))`,
        )
        .orderBy(desc(weight.step), desc(weight.id))
        .limit(50),
      reviews: db
        .select({
          decision: modelReview.decision,
          reviewer: sql<string>`(select name from user where user.id = model_review.user_id)`,
          reason: modelReview.reason,
          at: modelReview.at,
          evidence: modelReview.evidence,
        })
        .from(modelReview)
        .where(eq(modelReview.versionId, of(sql`${modelVersion.id}`))),
      costs: db
        .select({
          run: sql<
            number | null
          >`(select cost from training_task where id = model_version.task_id)`,
          lineage: sql<number | null>`(${lineage})`,
        })
        .from(modelVersion)
        .where(eq(modelVersion.id, of(sql`${modelVersion.id}`))),
      histories: db.all<{ parties: string; changes: string }>(sql`
      select (select json_group_array(name) from (${parties} order by name)) as parties,
        (select json_group_array(json_object('at', at, 'by', by, 'before', json(before), 'after', json(after)))
          from (${checksChanges})) as changes
      from model_version v where v.id = ${of(sql`${modelVersion.id}`)}`),
    });
  const [row] = versions;
  const [run] = runs;
  const [review] = reviews;
  const [cost] = costs;
  const [seen] = histories;
  if (!row) return null;
  const { metadata, ...facts } = files[0] ?? { metadata: null };
  const changes: ChecksChange[] = JSON.parse(seen?.changes ?? "[]");
  const answer: z.infer<typeof provenanceAnswer> = {
    ...toVersion(row),
    weight: "kind" in facts ? toWire(facts) : null,
    task: run
      ? {
          ...toWire(run.task),
          config: run.config?.sha256 ? run.config : null,
          config_snapshot: run.snapshot,
          curve: `/api/tasks/${run.task.id}/logs`,
        }
      : null,
    metrics: Object.fromEntries(metrics.map(({ metric, ...figures }) => [metric, figures])),
    datasets: datasets.map(toWire),
    samples: samples.map(({ objectKey: _, mediaType: __, size: ___, ...sample }) => toWire(sample)),
    review: review ?? null,
    parties: JSON.parse(seen?.parties ?? "[]"),
    checks_changes: changes.map((change) => ({
      ...change,
      loosened: findLoosened(change.before, change.after),
    })),
    cost: cost ?? { run: null, lineage: null },
  };
  return { row, answer, run: run?.task ?? null, metadata, samples };
}

export type Provenance = NonNullable<Awaited<ReturnType<typeof readProvenance>>>;
