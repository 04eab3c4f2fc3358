import { and, desc, eq, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import * as z from "zod";
import { noteChange } from "../platform/audit/note.ts";
import { noRoom, roomToMake } from "../platform/auth/bounds.ts";
import { chain, ifChanged, type Statement } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { insertIf } from "../platform/db/insert.ts";
import { model, modelVersion } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { fromWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { changedMeanwhile } from "../platform/http/preconditions.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { notValid } from "../platform/http/validate.ts";
import { modelChecks, usualChecks } from "./checks.ts";
import { aliasName, nameKey } from "./names.ts";
import { hasName, modelIdOf, noVersion, ownsModel, selectVersions } from "./queries.ts";

export const text = (most: number) => z.string().max(most).nullish();

export const settings = {
  description: text(20_000),
  task_type: text(100).describe("Such as `text-to-image` or `text-generation`."),
  license: text(200).describe("The licence of every version that names none of its own."),
  tags: z
    .record(z.string().min(1).max(100), z.string().max(1000))
    .refine((tags) => Object.keys(tags).length <= 100, "at most 100 tags")
    .nullish(),
  checks: modelChecks.optional(),
  protected_aliases: z
    .array(aliasName)
    .max(20)
    .optional()
    .describe("Aliases besides `production` that only approved versions may carry."),
};

export const modelAnswer = z
  .object({
    name: z.string(),
    description: z.string().nullable(),
    task_type: z.string().nullable(),
    license: z.string().nullable(),
    tags: z.record(z.string(), z.string()).nullable(),
    checks: modelChecks,
    protected_aliases: z.array(z.string()),
    created_by: z.string(),
    created_at: z.string(),
    updated_at: z.string(),
    latest_version: z.int().nullable(),
    aliases: z.record(z.string(), z.int()).describe("Alias → version."),
  })
  .meta({ id: "Model" });

// Columns of the outer table are named in full: drizzle leaves a lone table's name out, and a
// subquery would then take its own column of that name.
export const modelColumns = {
  name: model.name,
  description: model.description,
  taskType: model.taskType,
  license: model.license,
  tags: model.tags,
  checks: model.checks,
  protectedAliases: model.protectedAliases,
  createdBy: sql<string>`(select name from user where user.id = model.user_id)`,
  createdAt: model.createdAt,
  updatedAt: model.updatedAt,
  latestVersion: sql<
    number | null
  >`(select max(number) from model_version where model_id = model.id)`,
  aliases: sql<string>`(
    select json_group_object(a.alias, v.number) from model_alias a join model_version v on v.id = a.version_id
    where a.model_id = model.id)`.mapWith(
    (json: string): Record<string, number> => JSON.parse(json),
  ),
};

/** Versions of one model: its numbers are 1 to this. */
const MOST_VERSIONS = 1000;

const selectModels = (db: Db) => db.select(modelColumns).from(model);

type NewModel = { name: string } & z.infer<z.ZodObject<typeof settings>>;
type NewVersion = { weight_id: number; notes?: string | null; license?: string | null };

/** Makes a model. Throws ApiError 403, 409. */
export async function makeModel(
  c: Context<App>,
  { name, checks, protected_aliases, ...body }: NewModel,
) {
  const { db, auth, config } = c.var;
  const { inserted, rows } = await chain(db, {
    inserted: db.run(
      insertIf(
        model,
        {
          ...fromWire<Partial<typeof model.$inferInsert>>(body),
          name,
          nameKey: nameKey(name),
          checks: checks ?? usualChecks,
          protectedAliases: protected_aliases ?? [],
          userId: auth.userId,
        },
        roomToMake(config, auth.userId, "models"),
      ),
    ),
    noted: noteChange(db, auth, "inserted", "model.create", modelIdOf(name), { name }),
    rows: selectModels(db).where(hasName(name)),
  });
  const [row] = rows;
  if (!row) throw await noRoom(db, config, auth.userId, "models");
  if (inserted.rowsAffected === 0)
    throw refuse(
      "name-taken",
      row.name === name ? { case: "model", name } : { case: "similar", taken: row.name, name },
    );
  return row;
}

/** Changes a model of the caller's; `version` is the row's, where the caller saw it. Throws ApiError 404, 409, 412. */
export async function changeModel(
  c: Context<App>,
  name: string,
  body: z.infer<z.ZodObject<typeof settings>>,
  version: number | null,
) {
  const { db, auth } = c.var;
  const mine = and(hasName(name), ownsModel(auth));
  const unfit = sql<string | null>`(
    select a.alias from model_alias a join model_version v on v.id = a.version_id
    where a.model_id = model.id and v.state not in ('approved', 'released')
      and a.alias in (select value from json_each(${JSON.stringify(body.protected_aliases ?? [])})) limit 1)`;
  const fit = and(
    mine,
    sql`${unfit} is null`,
    version === null ? undefined : eq(model.version, version),
  );
  const checks = body.checks === undefined ? null : JSON.stringify(body.checks);
  const { changed, rows } = await chain(db, {
    checks: db.run(sql`
      insert into model_checks_change (model_id, user_id, before, after)
      select id, ${auth.userId}, checks, ${checks} from model where ${fit} and checks <> ${checks}`),
    changed: db
      .update(model)
      .set({
        ...fromWire<Partial<typeof model.$inferInsert>>(body),
        version: sql`version + 1`,
        updatedAt: now,
      })
      .where(fit)
      .returning({ id: model.id }),
    noted: noteChange(db, auth, "changed", "model.update", modelIdOf(name), {
      name,
      fields: Object.keys(body),
    }),
    rows: db.select({ model: modelColumns, version: model.version, unfit }).from(model).where(mine),
  });
  const [row] = rows;
  if (!row) throw notFound("own-model", { id: name });
  if (!changed.length && version !== null && version !== row.version)
    throw changedMeanwhile(row.version);
  if (!changed.length) throw refuse("alias-on-unapproved", { alias: String(row.unfit) });
  return row;
}

/**
 * Makes the next version of a model: a complete final file or checkpoint, or with `anyKind` any complete file.
 * `also` makes a further statement of the batch, under the condition that the version was made. Throws ApiError 404, 409.
 */
export async function addVersion(
  c: Context<App>,
  name: string,
  { weight_id, notes, license }: NewVersion,
  { anyKind = false, also }: { anyKind?: boolean; also?: (made: SQL) => Statement } = {},
) {
  const { db, auth } = c.var;
  const isLive = sql`v.model_id = m.id and v.weight_id = ${weight_id} and v.state not in ('rejected', 'retired')`;
  const { made, rows, facts } = await chain(db, {
    made: db.all<{ number: number }>(sql`
      insert into model_version (model_id, number, weight_id, task_id, object_id, filename, size, sha256, notes, license, user_id)
      select m.id, coalesce((select max(number) from model_version v where v.model_id = m.id), 0) + 1,
        w.id, w.task_id, w.object_id, w.filename, w.size, w.sha256, ${notes ?? null}, ${license ?? null}, ${auth.userId}
      from model m join weight w on w.id = ${weight_id} join stored_object o on o.id = w.object_id join training_task t on t.id = w.task_id
      where m.name_key = ${nameKey(name)} and ${anyKind ? sql`true` : sql`w.kind in ('final', 'checkpoint')`} and w.state = 'complete' and o.state = 'complete'
        and w.deleted_at is null and t.deleted_at is null and not exists (select 1 from model_version v where ${isLive})
        and coalesce((select max(number) from model_version v where v.model_id = m.id), 0) < ${MOST_VERSIONS}
      returning number`),
    noted: noteChange(db, auth, "made", "model.add_version", modelIdOf(name), {
      model: name,
      weight_id,
    }),
    also: also && ifChanged("noted", also),
    rows: selectVersions(db, and(hasName(name), eq(modelVersion.weightId, weight_id)))
      .orderBy(desc(modelVersion.number))
      .limit(1),
    facts: db.all<{
      state: string | null;
      kind: string | null;
      again: number | null;
      last: number;
    }>(sql`
      select w.state, w.kind, coalesce((select max(number) from model_version v where v.model_id = m.id), 0) as last, (select number from model_version v where ${isLive}) as again
      from model m left join weight w on w.id = ${weight_id} and w.deleted_at is null
        and exists (select 1 from training_task t where t.id = w.task_id and t.deleted_at is null)
      where m.name_key = ${nameKey(name)}`),
  });
  const [row] = rows;
  const [found] = facts;
  if (made.length && row) return row;
  if (!found) throw notFound("model", { id: name });
  if (found.again !== null)
    throw refuse(
      "already-a-version",
      { weight: weight_id, version: found.again, model: name },
      { extra: { version: found.again } },
    );
  if (found.state === null) throw notFound("weight", { id: weight_id });
  if (found.last >= MOST_VERSIONS)
    throw refuse("too-many-versions", { model: name, most: MOST_VERSIONS });
  throw refuse(
    "not-a-model-file",
    found.state === "complete"
      ? { case: "kind", weight: weight_id, kind: String(found.kind) }
      : { case: "incomplete", weight: weight_id, state: found.state },
  );
}

/** Changes a version that the caller made, or whose model. Throws ApiError 404, 409, 412. */
export async function changeVersion(
  c: Context<App>,
  { name, number }: { name: string; number: number },
  body: { notes?: string | null; license?: string | null },
  version: number | null,
) {
  const { db, auth } = c.var;
  const own = sql`${modelVersion.id} = (
      select v.id from model_version v join model m on m.id = v.model_id
      where m.name_key = ${nameKey(name)} and v.number = ${number} and (${ownsModel(auth, sql`v.user_id`)} or ${ownsModel(auth, sql`m.user_id`)}))`;
  const { changed, rows } = await chain(db, {
    changed: db
      .update(modelVersion)
      .set({ ...body, version: sql`version + 1`, updatedAt: now })
      .where(
        and(
          own,
          body.license === undefined ? undefined : eq(modelVersion.state, "draft"),
          version === null ? undefined : eq(modelVersion.version, version),
        ),
      )
      .returning({ id: modelVersion.id }),
    noted: noteChange(db, auth, "changed", "model.update_version", modelIdOf(name), {
      model: name,
      version: number,
      fields: Object.keys(body),
    }),
    rows: selectVersions(db, own),
  });
  const [row] = rows;
  if (!row) throw noVersion(`${name}`, number);
  if (!changed.length && version !== null && version !== row.row.version)
    throw changedMeanwhile(row.row.version);
  if (!changed.length)
    throw refuse(
      "not-a-draft",
      { version: number, state: row.state },
      { extra: { current_state: row.state } },
    );
  return row;
}

/** Tags of a model at the most. */
const MOST_TAGS = 100;

/** Sets tags of a model of the caller's; null takes one away. Throws ApiError 404, 422. */
export async function patchTags(
  c: Context<App>,
  name: string,
  tags: Record<string, string | null>,
): Promise<void> {
  const { db, auth } = c.var;
  const mine = and(hasName(name), ownsModel(auth));
  const patched = sql`json_patch(coalesce(tags, '{}'), ${JSON.stringify(tags)})`;
  const { changed, rows } = await chain(db, {
    changed: db
      .update(model)
      .set({ tags: patched, version: sql`version + 1`, updatedAt: now })
      .where(and(mine, sql`(select count(*) from json_each(${patched})) <= ${MOST_TAGS}`))
      .returning({ id: model.id }),
    noted: noteChange(db, auth, "changed", "model.update", modelIdOf(name), {
      name,
      fields: ["tags"],
    }),
    rows: db.select({ id: model.id }).from(model).where(mine),
  });
  if (!rows.length) throw notFound("own-model", { id: name });
  if (!changed.length) throw notValid([{ path: "tags", message: `at most ${MOST_TAGS} tags` }]);
}
