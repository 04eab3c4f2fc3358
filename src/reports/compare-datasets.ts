import { eq, type SQL, sql } from "drizzle-orm";
import type { Db } from "../platform/db/client.ts";
import { dataset, taskDataset } from "../platform/db/schema.ts";

/** Bytes of tags that one comparison reads at most. */
const TAG_BYTES = 400_000;
const MOST_TAGS = 50;

/** Statements that read which data some tasks were trained on, and what its captions hold. */
export const datasetStatements = (db: Db, ids: SQL) => ({
  links: db
    .select({
      taskId: taskDataset.taskId,
      name: taskDataset.name,
      id: dataset.id,
      imageCount: dataset.imageCount,
      repeats: taskDataset.repeats,
      hash: dataset.hash,
    })
    .from(taskDataset)
    .innerJoin(dataset, eq(dataset.id, taskDataset.datasetId))
    .where(sql`${taskDataset.taskId} in (${ids})`)
    .orderBy(taskDataset.name, dataset.id),
  tags: db.all<{ id: number; tags: string }>(sql`
      select id, tags from (
        select id, tag_distribution as tags, sum(length(tag_distribution)) over (order by id) as upto
        from dataset where tag_distribution is not null
          and id in (select dataset_id from task_dataset where task_id in (${ids})))
      where upto <= ${TAG_BYTES}`),
});

type Link = {
  taskId: number;
  name: string;
  id: number;
  imageCount: number | null;
  repeats: number | null;
  hash: string;
};

/** The datasets of some tasks beside each other, each with the tags that are not the same in all. */
export function compareDatasets(
  ids: number[],
  links: Link[],
  tagRows: { id: number; tags: string }[],
) {
  const tagsOf = new Map(
    tagRows.map(({ id, tags }) => [id, new Map<string, number>(Object.entries(JSON.parse(tags)))]),
  );
  return [...new Set(links.map((link) => link.name))].map((name) => {
    const own = ids.map((id) => links.find((link) => link.taskId === id && link.name === name));
    const [first] = own;
    const same = own.every(
      (link) => link && first && link.hash === first.hash && link.repeats === first.repeats,
    );
    const known = own.map((link) => (link ? tagsOf.get(link.id) : undefined));
    const readable = own.every((link, n) => !link || known[n]);
    const changed =
      same || !readable
        ? []
        : [...new Set(known.flatMap((tags) => [...(tags?.keys() ?? [])]))].flatMap((tag) => {
            const counts = known.map((tags) => tags?.get(tag) ?? 0);
            const spread = Math.max(...counts) - Math.min(...counts);
            return spread > 0 ? [{ tag, counts, spread }] : [];
          });
    changed.sort((a, b) => b.spread - a.spread || (a.tag < b.tag ? -1 : 1));
    return {
      name,
      same,
      tasks: own
        .map(
          (link) =>
            link && {
              dataset_id: link.id,
              image_count: link.imageCount,
              repeats: link.repeats,
            },
        )
        .map((link) => link ?? null),
      tags: changed.slice(0, MOST_TAGS).map(({ tag, counts }) => ({ tag, counts })),
      tags_differ: same ? 0 : readable ? changed.length : null,
    };
  });
}
