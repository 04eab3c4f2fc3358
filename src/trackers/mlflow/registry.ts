/* The registry's models and versions in MLflow's form. docs/mlflow-files.md says which stage is which state. */
import { and, eq, type SQL, sql } from "drizzle-orm";
import { aliasName, modelName, nameKey } from "../../models/names.ts";
import { owns } from "../../platform/auth/access.ts";
import type { Db } from "../../platform/db/client.ts";
import {
  model,
  modelVersion,
  registryRecord,
  type versionStates,
} from "../../platform/db/schema.ts";
import { now } from "../../platform/db/time.ts";
import type { Auth } from "../../platform/http/caller.ts";
import { ApiError } from "../../platform/http/problem.ts";
import { MlflowError, runIdOf } from "./form.ts";
import { toPairs } from "./logged-models.ts";
import { versionUri } from "./places.ts";
import type { VersionFile } from "./version-files.ts";

/** What MLflow says of a version and the ledger has no column for. */
export type VersionRecord = {
  source?: string;
  run_link?: string;
  model_id?: string;
  tags?: Record<string, string>;
  files?: VersionFile[];
  /** MLflow's clients deleted it: they see it no more, and the ledger keeps it. */
  hidden?: true;
};

export const stages = ["None", "Staging", "Production", "Archived"] as const;
type Stage = (typeof stages)[number];

const stageOf: Record<(typeof versionStates)[number], Stage> = {
  draft: "None",
  in_review: "Staging",
  approved: "Staging",
  released: "Production",
  rejected: "Archived",
  retired: "Archived",
};
export const stageSql = sql<Stage>`case model_version.state ${sql.join(
  Object.entries(stageOf).map(([state, stage]) => sql`when ${state} then ${stage}`),
  sql` `,
)} end`;

/** A tag that the ledger itself sets: what its own registry says of the version. */
export const STATE_TAG = "ledger.state";

const invalid = (message: string) => new MlflowError("INVALID_PARAMETER_VALUE", message);

/** A model's name. Throws MlflowError, which says what is wrong with it. */
export function checkName(name: string | undefined): string {
  if (!name) throw invalid("Missing value for required parameter 'name'.");
  const { data, error } = modelName.safeParse(name);
  if (data === undefined)
    throw invalid(`Invalid model name '${name.slice(0, 200)}': it ${error?.issues[0]?.message}.`);
  return data;
}

/** The name of a model that should be there already: whether it could be made does not matter. Throws MlflowError. */
export function namedModel(name: string | undefined): string {
  if (!name) throw invalid("Missing value for required parameter 'name'.");
  return name;
}

/** An alias, in small letters. Throws MlflowError. */
export function checkAlias(alias: string | undefined): string {
  if (!alias) throw invalid("Missing value for required parameter 'alias'.");
  const { data, error } = aliasName.safeParse(alias);
  if (data === undefined)
    throw invalid(`Invalid alias name '${alias.slice(0, 200)}': it ${error?.issues[0]?.message}.`);
  return data;
}

/** A version's number. Throws MlflowError. */
export function checkNumber(version: string | number | undefined): number {
  const text = String(version ?? "");
  if (text === "") throw invalid("Missing value for required parameter 'version'.");
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw invalid(`Model version must be an integer, got '${text.slice(0, 100)}'.`);
  return Number(text);
}

const isShown = sql`coalesce(registry_record.record ->> 'hidden', 0) = 0`;

/** Versions that MLflow's clients see. */
export const selectMlflowVersions = (
  db: Db,
  condition: SQL | undefined,
  place = sql<string>`'[]'`,
) =>
  db
    .select({
      name: model.name,
      number: modelVersion.number,
      state: modelVersion.state,
      stage: stageSql,
      notes: modelVersion.notes,
      taskId: modelVersion.taskId,
      createdAt: modelVersion.createdAt,
      updatedAt: sql<string>`max(model_version.updated_at, coalesce(registry_record.updated_at, ''))`,
      user: sql<string>`(select u.name from user u where u.id = model_version.user_id)`,
      aliases: sql<string>`(select json_group_array(a.alias) from model_alias a where a.version_id = model_version.id)`,
      record: registryRecord.record,
      place,
    })
    .from(modelVersion)
    .innerJoin(model, eq(model.id, modelVersion.modelId))
    .leftJoin(
      registryRecord,
      and(eq(registryRecord.modelId, model.id), eq(registryRecord.number, modelVersion.number)),
    )
    .where(and(isShown, condition));

export type MlflowVersionRow = Awaited<ReturnType<typeof selectMlflowVersions>>[number];

/** A version in MLflow's form. */
export function toMlflowVersion(row: MlflowVersionRow) {
  const record = (row.record ?? {}) as VersionRecord;
  return {
    name: row.name,
    version: String(row.number),
    creation_timestamp: Date.parse(row.createdAt),
    last_updated_timestamp: Date.parse(row.updatedAt),
    user_id: row.user,
    current_stage: row.stage,
    description: row.notes ?? "",
    source: record.source ?? versionUri(row.name, row.number),
    run_id: runIdOf(row.taskId),
    run_link: record.run_link ?? "",
    status: "READY",
    tags: toPairs({ ...record.tags, [STATE_TAG]: row.state }),
    aliases: JSON.parse(row.aliases) as string[],
    ...(record.model_id && { model_id: record.model_id }),
  };
}

/** Version n of a model in MLflow's form. Throws MlflowError 404. */
export async function readVersion(db: Db, name: string, number: number) {
  const [row] = await selectMlflowVersions(
    db,
    and(eq(model.nameKey, nameKey(name)), eq(modelVersion.number, number)),
  );
  if (!row)
    throw new MlflowError(
      "RESOURCE_DOES_NOT_EXIST",
      `Model Version (name=${name}, version=${number}) not found.`,
    );
  return toMlflowVersion(row);
}

export const selectRegistered = (db: Db, condition: SQL | undefined, place = sql<string>`'[]'`) =>
  db
    .select({
      id: model.id,
      name: model.name,
      description: model.description,
      tags: model.tags,
      createdAt: model.createdAt,
      updatedAt: model.updatedAt,
      aliases: sql<string>`(
        select json_group_array(json_object('alias', a.alias, 'version', cast(v.number as text)))
        from model_alias a join model_version v on v.id = a.version_id where a.model_id = model.id)`,
      place,
    })
    .from(model)
    .where(condition);

type RegisteredRow = Awaited<ReturnType<typeof selectRegistered>>[number];

/** The newest version of each stage of some models, by their names. */
export async function latestVersions(
  db: Db,
  modelIds: number[],
  wanted: readonly string[] = stages,
) {
  const rows = modelIds.length
    ? await selectMlflowVersions(
        db,
        sql`model.id in (select value from json_each(${JSON.stringify(modelIds)}))
          and (model_version.model_id, ${stageSql}, model_version.number) in (
            select model_version.model_id, ${stageSql}, max(model_version.number)
            from model_version left join registry_record
              on registry_record.model_id = model_version.model_id and registry_record.number = model_version.number
            where model_version.model_id in (select value from json_each(${JSON.stringify(modelIds)})) and ${isShown}
            group by model_version.model_id, ${stageSql})
          and ${stageSql} in (select value from json_each(${JSON.stringify(wanted)}))`,
      )
    : [];
  return Map.groupBy(rows.map(toMlflowVersion), ({ name }) => name);
}

/** Models in MLflow's form. */
export async function toRegistered(db: Db, rows: RegisteredRow[]) {
  const latest = await latestVersions(
    db,
    rows.map(({ id }) => id),
  );
  return rows.map((row) => ({
    name: row.name,
    creation_timestamp: Date.parse(row.createdAt),
    last_updated_timestamp: Date.parse(row.updatedAt),
    description: row.description ?? "",
    latest_versions: latest.get(row.name) ?? [],
    tags: toPairs(row.tags),
    aliases: JSON.parse(row.aliases) as { alias: string; version: string }[],
  }));
}

export const noRegistered = (name: string) =>
  new MlflowError("RESOURCE_DOES_NOT_EXIST", `Registered Model with name=${name} not found`);

/** One model in MLflow's form. Throws MlflowError 404. */
export async function readRegistered(db: Db, name: string) {
  const [made] = await toRegistered(
    db,
    await selectRegistered(db, eq(model.nameKey, nameKey(name))),
  );
  if (!made) throw noRegistered(name);
  return made;
}

/** Bytes of what MLflow says of one version at the most: its list of files is in it. */
const MOST_RECORD_BYTES = 500_000;

/** A statement that adds to what is kept of a version, if its maker or its model's asks; null takes away. */
export const patchRecord = (
  db: Db,
  auth: Auth,
  { name, number }: { name: string; number: number },
  patch: object,
  condition = sql`true`,
) =>
  db.all<{ number: number }>(sql`
    insert into registry_record (model_id, number, record, updated_at)
    select m.id, v.number, json_patch('{}', ${JSON.stringify(patch)}), ${now}
    from model m join model_version v on v.model_id = m.id
    where m.name_key = ${nameKey(name)} and v.number = ${number}
      and (${owns(auth, sql`m.user_id`)} or ${owns(auth, sql`v.user_id`)}) and ${condition}
    on conflict (model_id, number) do update set updated_at = excluded.updated_at,
      record = json_patch(record, ${JSON.stringify(patch)}) where octet_length(record) < ${MOST_RECORD_BYTES}
    returning number`);

/** Explains how a version gets to what a caller wanted of it, in MLflow's form; other errors stay. */
export function explainApproval(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.code !== "not-approved") return error;
  return new MlflowError(
    "INVALID_STATE",
    `${error.message} Submit it for review (stage Staging, or POST /api/models/NAME/versions/N/submit); once a reviewer has approved it in the ledger, ask again.`,
  );
}
