import { sql } from "drizzle-orm";
import * as z from "zod";
import { type ModelChecks, verifications } from "../platform/db/schema.ts";
import { refuse } from "../platform/http/problem.ts";

const bound = z.number().optional();

/** The conditions on a version before its review, and again at its approval. */
export const modelChecks = z
  .strictObject({
    verified: z
      .enum(verifications)
      .default("parts")
      .describe("The least verification of the file: `size` < `parts` < `sha256`."),
    min_samples: z
      .int()
      .min(0)
      .max(100)
      .default(0)
      .describe("The least number of sample images of the version's run."),
    task_success: z
      .boolean()
      .default(true)
      .describe("Whether the version's run must have ended in `success`."),
    metrics: z
      .array(
        z
          .strictObject({
            metric: z.string().min(1).max(200).describe("`final_loss`, or a metric of the run."),
            statistic: z.enum(["last", "min", "max"]).default("last"),
            max: bound,
            min: bound,
          })
          .refine((c) => c.max !== undefined || c.min !== undefined, "give max, min or both"),
      )
      .max(20)
      .default([]),
  })
  .meta({ id: "ModelChecks" });

export const usualChecks: ModelChecks = modelChecks.parse({});

/** Levels of verification by how much they say. */
const level = (verified: unknown) =>
  sql`case ${verified} when 'sha256' then 3 when 'parts' then 2 when 'size' then 1 else 0 end`;

/**
 * The least level of verification of each use of a weight. A model's own `checks.verified` stands
 * for review, approval and all that needs an approval: release and protected aliases.
 */
export const neededVerification = { version: "size", download: "size", share: "parts" } as const;

/** Whether an object (alias `o`) is verified well enough for a use. */
export const verifiedFor = (use: keyof typeof neededVerification) =>
  sql`${level(sql`o.verified`)} >= ${level(neededVerification[use])}`;

/** A version with all that its checks look at, under the names v, m, w, o and t. */
export const versionWithEvidence = sql`
  model_version v join model m on m.id = v.model_id
  left join weight w on w.id = v.weight_id
  left join stored_object o on o.id = v.object_id
  left join training_task t on t.id = v.task_id`;

/** The model's checks, and those of the submission where they were others: both must hold. */
const judgedBy = sql`(select m.checks as checks union select coalesce(v.submitted_checks, m.checks)) j`;

/** The checks that a version fails, as JSON: `[{check, wanted, found}, …]`. */
export const failedChecks = sql<string>`(
  select json_group_array(json_object('check', f.name, 'wanted', f.wanted, 'found', f.found)) from (
    select 'file' as name, 'stored' as wanted, coalesce(o.state, 'gone') as found where o.state is not 'complete'
    union all
    select 'trash', 'not in the trash', iif(t.deleted_at is null, 'the weight is', 'its run is')
      where w.deleted_at is not null or t.deleted_at is not null
    union all
    select distinct 'verified', j.checks ->> 'verified', coalesce(o.verified, 'nothing') from ${judgedBy}
      where ${level(sql`o.verified`)} < ${level(sql`j.checks ->> 'verified'`)}
    union all
    select distinct 'task_success', 'success', coalesce(t.status, 'gone') from ${judgedBy}
      where j.checks ->> 'task_success' and t.status is not 'success'
    union all
    select distinct 'samples', 'at least ' || (j.checks ->> 'min_samples'), n from ${judgedBy}, (
      select count(*) as n from weight s where s.task_id = v.task_id and s.kind = 'sample' and s.state = 'complete' and s.deleted_at is null
    ) where n < j.checks ->> 'min_samples'
    union all
    select distinct 'metric ' || metric, trim(coalesce('at most ' || most, '') || coalesce(' at least ' || least, '')), coalesce(n, 'nothing') from (
      select c.value ->> 'metric' as metric, c.value ->> 'max' as most, c.value ->> 'min' as least,
        case c.value ->> 'metric' when 'final_loss' then t.final_loss else (
          select case c.value ->> 'statistic' when 'min' then s.min when 'max' then s.max else s.last end
          from metric_summary s where s.task_id = v.task_id and s.metric = c.value ->> 'metric') end as n
      from ${judgedBy}, json_each(j.checks, '$.metrics') c
    ) where n is null or n > most or n < least
  ) f)`;

/** The checks that ask for less after a change than before it, by their names in `failedChecks`. */
export function findLoosened(before: ModelChecks, after: ModelChecks): string[] {
  const order = verifications.toReversed();
  const holds = (least: number | undefined, bound: number | undefined) =>
    bound === undefined || (least !== undefined && least >= bound);
  const dropped = before.metrics.filter(
    ({ metric, statistic, min, max }) =>
      !after.metrics.some(
        (now) =>
          now.metric === metric &&
          now.statistic === statistic &&
          holds(now.min, min) &&
          holds(now.max === undefined ? undefined : -now.max, max === undefined ? undefined : -max),
      ),
  );
  return [
    ...(order.indexOf(after.verified) < order.indexOf(before.verified) ? ["verified"] : []),
    ...(before.task_success && !after.task_success ? ["task_success"] : []),
    ...(after.min_samples < before.min_samples ? ["samples"] : []),
    ...dropped.map(({ metric }) => `metric ${metric}`),
  ];
}

type Failed = { check: string; wanted: string; found: string | number };

/** The refusal that names each check that does not hold. */
export function refuseFailedChecks(json: string) {
  const failed: Failed[] = JSON.parse(json);
  const errors = failed.map(({ check, wanted, found }) => ({
    path: check,
    message: `requires ${wanted}, but found ${found}`,
  }));
  return refuse(
    "checks-fail",
    { faults: errors.map((e) => `${e.path} ${e.message}`).join("; ") },
    { errors },
  );
}
