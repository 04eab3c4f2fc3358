import { eq, type SQL, sql } from "drizzle-orm";
import * as z from "zod";
import type { Db } from "../platform/db/client.ts";
import { dataset, taskDataset } from "../platform/db/schema.ts";
import { sha256Hex } from "../platform/http/hash.ts";

/** Facts about one dataset of a task; never the data. */
export const datasetFacts = z
  .strictObject({
    name: z.string().trim().min(1).max(300),
    source_path: z.string().max(2000).nullish(),
    image_count: z.int().min(0).nullish(),
    repeats: z.int().min(0).nullish(),
    tag_distribution: z
      .record(z.string().max(500), z.number().min(0))
      .refine((tags) => Object.keys(tags).length <= 20_000, "at most 20,000 tags")
      .nullish()
      .describe("Number of captions for each tag."),
    content_hash: z
      .string()
      .max(200)
      .nullish()
      .describe("A hash that the client computes; equal for equal content."),
  })
  .meta({ id: "DatasetFacts" });
export type DatasetFacts = z.infer<typeof datasetFacts>;

/** A dataset as answers give it. */
export const datasetAnswer = datasetFacts
  .extend({
    id: z.int(),
    hash: z.string().describe("Equal for equal facts."),
    created_at: z.string(),
  })
  .meta({ id: "Dataset" });

/** The datasets of a task. */
export const selectDatasets = (db: Db, taskId: number | SQL) =>
  db
    .select({
      id: dataset.id,
      hash: dataset.hash,
      name: taskDataset.name,
      sourcePath: taskDataset.sourcePath,
      imageCount: dataset.imageCount,
      repeats: taskDataset.repeats,
      tagDistribution: dataset.tagDistribution,
      contentHash: dataset.contentHash,
      createdAt: dataset.createdAt,
    })
    .from(taskDataset)
    .innerJoin(dataset, eq(dataset.id, taskDataset.datasetId))
    .where(eq(taskDataset.taskId, taskId))
    .orderBy(taskDataset.datasetId);

/**
 * The facts' own hash: nobody can change what a dataset of another's run says by registering other
 * facts under its content hash. Keys are sorted, so that order does not matter.
 */
async function hashFacts(facts: DatasetFacts): Promise<string> {
  const tags = Object.entries(facts.tag_distribution ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  // The name and the path tell facts without a content hash apart.
  const identity = facts.content_hash ?? [facts.name, facts.source_path ?? null];
  const text = JSON.stringify([identity, facts.image_count ?? null, tags]);
  return sha256Hex(text);
}

/** Bytes that facts take beside a task, about: what their user's bound counts. */
export const factsBytes = (facts: DatasetFacts) =>
  500 +
  (facts.tag_distribution
    ? new TextEncoder().encode(JSON.stringify(facts.tag_distribution)).length
    : 0);

/**
 * Statements that record facts once by hash and link them to the task that `taskId` selects (a
 * scalar subquery that is null when the caller may not write there). Three rows a new dataset.
 */
export async function recordDatasets(db: Db, taskId: SQL, facts: DatasetFacts[]) {
  const hashed = await Promise.all(facts.map(async (f) => ({ ...f, hash: await hashFacts(f) })));
  return hashed.flatMap((f) => [
    db.run(sql`
      insert into dataset (hash, content_hash, image_count, tag_distribution, links)
      select ${f.hash}, ${f.content_hash ?? null}, ${f.image_count ?? null},
        ${f.tag_distribution ? JSON.stringify(f.tag_distribution) : null}, 1
      where ${taskId} is not null
      on conflict (hash) do update set links = links + 1 where not exists (
        select 1 from task_dataset l where l.task_id = ${taskId} and l.dataset_id = dataset.id and l.name = ${f.name})`),
    db.run(sql`
      insert into task_dataset (task_id, dataset_id, name, source_path, repeats)
      select t.id, d.id, ${f.name}, ${f.source_path ?? null}, ${f.repeats ?? null}
      from dataset d, (select ${taskId} as id) t where d.hash = ${f.hash} and t.id is not null
      on conflict do update set source_path = excluded.source_path, repeats = excluded.repeats`),
  ]);
}
