import { type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { systemLast } from "../metrics/system.ts";
import type { Db } from "../platform/db/client.ts";
import type { decisions } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { versionWithEvidence } from "./checks.ts";
import { checksChanges, parties } from "./parties.ts";

/** Samples that an approval keeps, the latest first: enough to see what was seen. */
const MOST_SAMPLES = 50;

/** The run's samples, for the version `v`. */
const samples = sql`
  select s.* from weight s
  where s.task_id = v.task_id and s.kind = 'sample' and s.state = 'complete' and s.deleted_at is null
  order by s.step desc, s.id desc limit ${sql.raw(String(MOST_SAMPLES))}`;

/**
 * A statement that writes a decision down with what it was based on, so that later changes to the
 * run, the data or the model change nothing of it. `id` selects the version, or null for nothing.
 */
export const keepEvidence = (
  c: Context<App>,
  id: SQL,
  { decision, reason }: { decision: (typeof decisions)[number]; reason: string | null },
) =>
  c.var.db.run(sql`
    insert into model_review (version_id, decision, user_id, key_id, reason, evidence)
    select v.id, ${decision}, ${c.var.auth.userId}, ${c.var.auth.keyId}, ${reason}, json_object(
      'reviewer', (select name from user where id = ${c.var.auth.userId}),
      'submitted_by', (select name from user where id = v.submitted_by),
      'submitted_at', v.submitted_at,
      'checks', json(m.checks),
      'submitted_checks', json(v.submitted_checks),
      'checks_changes', (select json_group_array(json_object('at', at, 'by', by, 'before', json(before), 'after', json(after)))
        from (${checksChanges})),
      'parties', (select json_group_array(name) from (${parties} order by name)),
      'license', coalesce(v.license, m.license),
      'weight', json_object('id', v.weight_id, 'filename', v.filename, 'size', v.size, 'sha256', v.sha256,
        'sha256_is', iif(o.verified = 'sha256', 'verified', 'announced'), 'verified', o.verified, 'rank', o.rank, 'conv_rank', o.conv_rank, 'alpha', o.alpha, 'algorithm', o.algorithm,
        'base_arch', o.base_arch, 'kind', w.kind, 'epoch', w.epoch, 'step', w.step),
      'task', json_object('id', t.id, 'name', t.task_name, 'status', t.status, 'trainer', t.trainer, 'base_model_path', t.base_model_path,
        'git_commit', t.git_commit, 'gpu_info', t.gpu_info, 'final_loss', t.final_loss, 'cost', t.cost,
        'config_sha256', (select k.sha256 from task_config k where k.task_id = v.task_id)),
      'metrics', (select json_group_object(s.metric, json_object('last', s.last, 'min', s.min, 'max', s.max, 'count', s.count))
        from (select * from metric_summary where task_id = v.task_id order by ${systemLast(sql`metric`)}, metric limit 200) s),
      'datasets', (select json_group_array(json_object('id', d.id, 'name', td.name, 'hash', d.hash, 'content_hash', d.content_hash,
          'image_count', d.image_count, 'repeats', td.repeats))
        from task_dataset td join dataset d on d.id = td.dataset_id where td.task_id = v.task_id),
      'samples', (select json_group_array(json_object('weight_id', s.id, 'filename', s.filename, 'sha256', s.sha256, 'prompt', s.prompt,
          'seed', s.seed, 'step', s.step, 'epoch', s.epoch)) from (${samples}) s))
    from ${versionWithEvidence} where v.id = ${id}`);

/** A statement that protects an approved version's samples from deletion; it follows `keepEvidence`. */
export const keepSamples = (db: Db, id: SQL) =>
  db.run(sql`
    insert into review_sample (version_id, weight_id, object_id)
    select v.id, s.id, s.object_id from model_version v
      join weight s on s.id in (select id from (${samples}))
    where v.id = ${id}`);
