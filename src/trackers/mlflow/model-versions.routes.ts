import { and, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { addVersion, changeVersion } from "../../models/make.ts";
import { nameKey } from "../../models/names.ts";
import { discard, release, retire, submit, withdraw } from "../../models/steps.ts";
import { allow, requireScopes } from "../../platform/auth/middleware.ts";
import { now } from "../../platform/db/time.ts";
import { afterPlace, orderSql } from "../../platform/filter/compile.ts";
import type { App } from "../../platform/http/context.ts";
import { ApiError, notFound } from "../../platform/http/problem.ts";
import { limitBody, validate } from "../../platform/http/validate.ts";
import { conditionOf, type Field, listName, orderOf, pageOf, placeOfToken } from "./clauses.ts";
import { MlflowError, mlflowProblem } from "./form.ts";
import { requireMlflowKey } from "./key.ts";
import { mainFile } from "./kinds.ts";
import { pair, pairs, toMap } from "./logged-models.ts";
import { versionUri } from "./places.ts";
import {
  checkNumber,
  explainApproval,
  namedModel,
  patchRecord,
  readVersion,
  STATE_TAG,
  selectMlflowVersions,
  stageSql,
  stages,
  toMlflowVersion,
  type VersionRecord,
} from "./registry.ts";
import { readSource, type SourceFile } from "./sources.ts";

const ref = {
  name: z.string().max(300).optional(),
  version: z.union([z.string().max(50), z.number()]).optional(),
};
const refObject = z.object(ref);

const refOf = (body: z.infer<typeof refObject>) => ({
  name: namedModel(body.name),
  number: checkNumber(body.version),
});

const invalid = (message: string) => new MlflowError("INVALID_PARAMETER_VALUE", message);
const wrongState = (message: string) => new MlflowError("INVALID_STATE", message);

/** Statement results say whether the version was the caller's. Throws ApiError 404. */
async function patch(c: Context<App>, at: { name: string; number: number }, what: object) {
  const changed = await patchRecord(c.var.db, c.var.auth, at, what);
  if (!changed.length) throw notFound("own-version", { version: at.number, model: at.name });
}

/** The version that has this file already, if it is the very same registration. */
async function sameAgain(
  c: Context<App>,
  name: string,
  error: unknown,
  { source, files }: { source: string; files: SourceFile[] },
) {
  if (!(error instanceof ApiError) || error.code !== "already-a-version") return null;
  const number = Number(error.params.version);
  const [row] = await selectMlflowVersions(
    c.var.db,
    sql`model.name_key = ${nameKey(name)} and model_version.number = ${number}`,
  );
  const record = (row?.record ?? {}) as VersionRecord;
  const known = (list: { path: string; weight: number }[] = []) =>
    JSON.stringify(list.map(({ path, weight }) => [path, weight]));
  return row && record.source === source && known(record.files) === known(files)
    ? toMlflowVersion(row)
    : null;
}

/**
 * Moves a version to the state that a stage means. A stage that it has already changes nothing. Throws
 * MlflowError where a step would pass over a review, and what the steps throw.
 */
async function toStage(c: Context<App>, at: { name: string; number: number }, stage: string) {
  const before = await readVersion(c.var.db, at.name, at.number);
  if (before.current_stage === stage) return before;
  const state = before.tags.find(({ key }) => key === STATE_TAG)?.value;
  const label = `Version ${at.number} of ${at.name} is ${state}`;
  if (stage === "Staging") {
    if (state !== "draft")
      throw wrongState(`${label}: only a draft can be submitted for review, which Staging means.`);
    await submit(c, at);
  } else if (stage === "Production") {
    if (state !== "approved")
      throw wrongState(
        `${label}: only an approved version goes to Production. Submit it for review (stage Staging); once a reviewer has approved it in the ledger, ask again.`,
      );
    requireScopes(c.var.auth, ["models:release"]);
    await release(c, at, null);
  } else if (stage === "Archived") {
    if (state === "in_review")
      throw wrongState(`${label}: withdraw it from review first (stage None).`);
    if (state === "draft") await discard(c, at);
    else {
      requireScopes(c.var.auth, ["models:release"]);
      await retire(c, at, null);
    }
  } else {
    if (state !== "in_review")
      throw wrongState(`${label}, and no such version becomes a draft again, which None means.`);
    await withdraw(c, at);
  }
  return readVersion(c.var.db, at.name, at.number);
}

const fields: Record<string, Field> = {
  name: { sql: sql`model.name`, type: "text" },
  version: { sql: sql`model_version.number`, type: "number" },
  version_number: { sql: sql`model_version.number`, type: "number" },
  run_id: { sql: sql`printf('%032d', model_version.task_id)`, type: "text" },
  source_path: {
    sql: sql`coalesce(registry_record.record ->> 'source', 'mlflow-artifacts:/registry/' || model.name || '/' || model_version.number || '/artifacts')`,
    type: "text",
  },
  current_stage: { sql: stageSql, type: "text" },
};

function fieldOf(entity: string, key: string): Field | null {
  if (entity === "attribute") return Object.hasOwn(fields, key) ? (fields[key] ?? null) : null;
  if (entity !== "tag") return null;
  return {
    sql:
      key === STATE_TAG
        ? sql`model_version.state`
        : sql`(select value from json_each(registry_record.record, '$.tags') where key = ${key})`,
    type: "text",
    missingDiffers: true,
  };
}

/** Rows of one page: MLflow's clients ask for 10,000 and go on with the token. */
const MOST_ROWS = 1000;

/** Versions of registered models: the ledger's own, in MLflow's form. */
export const modelVersions = new Hono<App>()
  .onError(mlflowProblem)
  .use("/*", requireMlflowKey, limitBody(1_000_000))
  .post(
    "/create",
    allow("models:write", { also: ["weights:read", "tasks:read"] }),
    validate(
      "json",
      z.object({
        name: ref.name,
        source: z.string().max(2000).optional(),
        run_id: z.string().max(64).nullish(),
        run_link: z.string().max(2000).nullish(),
        description: z.string().max(20_000).nullish(),
        model_id: z.string().max(64).nullish(),
        tags: pairs,
      }),
    ),
    async (c) => {
      const { source, run_link, description, model_id, tags, ...body } = c.req.valid("json");
      const { db, auth } = c.var;
      const name = namedModel(body.name);
      if (!source) throw invalid("Missing value for required parameter 'source'.");
      const files = await readSource(c, source);
      const main = mainFile(files);
      if (!main)
        throw invalid(
          `'${source.slice(0, 300)}' holds no file that could be a version of the ledger: adapter_model.safetensors, another weights file, or MLmodel.`,
        );
      const record: VersionRecord = {
        source,
        ...(run_link && { run_link }),
        ...(model_id && { model_id }),
        tags: toMap(tags),
        files: files.map(({ path, weight }) => ({ path, weight })),
      };
      try {
        const made = await addVersion(
          c,
          name,
          { weight_id: main.weight, notes: description },
          {
            anyKind: true,
            // In the same batch: no version without its list of files.
            also: (changed) =>
              db.run(sql`
                insert into registry_record (model_id, number, record, updated_at)
                select m.id, max(v.number), ${JSON.stringify(record)}, ${now}
                from model m join model_version v on v.model_id = m.id
                where m.name_key = ${nameKey(name)} and v.user_id = ${auth.userId} and ${changed} group by m.id`),
          },
        );
        return c.json({ model_version: await readVersion(db, name, made.version) });
      } catch (error) {
        // Clients repeat POSTs whose answer was lost.
        const same = await sameAgain(c, name, error, { source, files });
        if (same) return c.json({ model_version: same });
        throw error;
      }
    },
  )
  .get("/get", allow("models:read"), validate("query", refObject), async (c) => {
    const { name, number } = refOf(c.req.valid("query"));
    return c.json({ model_version: await readVersion(c.var.db, name, number) });
  })
  .get("/get-download-uri", allow("models:read"), validate("query", refObject), async (c) => {
    const { name, number } = refOf(c.req.valid("query"));
    const version = await readVersion(c.var.db, name, number);
    return c.json({ artifact_uri: versionUri(version.name, number) });
  })
  .get(
    "/search",
    allow("models:read"),
    validate(
      "query",
      z.object({
        filter: z.string().max(10_000).default(""),
        max_results: z.coerce.number().int().min(1).max(200_000).optional(),
        page_token: z.string().max(4000).optional(),
      }),
    ),
    async (c) => {
      const { filter, max_results, page_token } = c.req.valid("query");
      const limit = Math.min(max_results ?? 10_000, MOST_ROWS);
      const order_by = (c.req.queries("order_by") ?? [])
        .flatMap((text) => text.split(","))
        .filter((text) => text.trim() !== "");
      const number = sql`model_version.number`;
      const updated = sql`max(model_version.updated_at, coalesce(registry_record.updated_at, ''))`;
      const order = orderOf(
        order_by.length ? order_by : ["last_updated_timestamp desc", "name", "version desc"],
        {
          name: sql`model.name`,
          version: number,
          version_number: number,
          creation_timestamp: sql`model_version.created_at`,
          last_updated_timestamp: updated,
        },
      );
      const list = await listName("model versions", filter, order_by);
      const after = placeOfToken(list, page_token);
      const id = sql.raw("model_version.id");
      const rows = await selectMlflowVersions(
        c.var.db,
        and(
          ...conditionOf(filter, fieldOf),
          after ? afterPlace(order, after.values, id, after.id) : undefined,
        ),
        sql`json_array(${sql.join([id, ...order.map((o) => o.column)], sql`, `)})`,
      )
        .orderBy(orderSql(order, id))
        .limit(limit + 1);
      const { items, token } = pageOf(list, rows, limit);
      return c.json({
        model_versions: items.map(toMlflowVersion),
        ...(token && { next_page_token: token }),
      });
    },
  )
  .patch(
    "/update",
    allow("models:write"),
    validate("json", refObject.extend({ description: z.string().max(20_000).nullish() })),
    async (c) => {
      const { description, ...body } = c.req.valid("json");
      const at = refOf(body);
      await readVersion(c.var.db, at.name, at.number);
      await changeVersion(c, at, { notes: description ?? null }, null);
      return c.json({ model_version: await readVersion(c.var.db, at.name, at.number) });
    },
  )
  .post(
    "/transition-stage",
    allow("models:write"),
    validate(
      "json",
      refObject.extend({
        stage: z.string().max(50).optional(),
        archive_existing_versions: z.boolean().nullish(),
      }),
    ),
    async (c) => {
      const { stage, archive_existing_versions, ...body } = c.req.valid("json");
      const wanted = stages.find((s) => s.toLowerCase() === stage?.toLowerCase());
      if (!wanted)
        throw invalid(
          `Invalid Model Version stage: ${stage}. Value must be one of ${stages.join(", ")}.`,
        );
      if (archive_existing_versions)
        throw wrongState(
          "archive_existing_versions is not possible: a version leaves production by itself when another one is released, and stays approved for a rollback. Archive it by its own call.",
        );
      try {
        return c.json({ model_version: await toStage(c, refOf(body), wanted) });
      } catch (error) {
        throw explainApproval(error);
      }
    },
  )
  .delete("/delete", allow("models:write"), validate("json", refObject), async (c) => {
    const at = refOf(c.req.valid("json"));
    const found = await readVersion(c.var.db, at.name, at.number);
    const state = found.tags.find(({ key }) => key === STATE_TAG)?.value;
    if (state === "in_review" || state === "approved" || state === "released")
      throw wrongState(
        `Version ${at.number} of ${at.name} is ${state} and stays: ${state === "in_review" ? "withdraw it first (stage None)" : "archive it instead (stage Archived)"}.`,
      );
    if (state === "draft") await discard(c, at);
    await patch(c, at, { hidden: true });
    return c.json({});
  })
  .post("/set-tag", allow("models:write"), validate("json", pair.extend(ref)), async (c) => {
    const { key, value, ...body } = c.req.valid("json");
    if (key === STATE_TAG) throw invalid(`The ledger itself sets ${STATE_TAG}.`);
    const at = refOf(body);
    await readVersion(c.var.db, at.name, at.number);
    await patch(c, at, { tags: { [key]: value } });
    return c.json({});
  })
  .delete(
    "/delete-tag",
    allow("models:write"),
    validate("json", refObject.extend({ key: z.string().min(1).max(250) })),
    async (c) => {
      const { key, ...body } = c.req.valid("json");
      const at = refOf(body);
      await readVersion(c.var.db, at.name, at.number);
      await patch(c, at, { tags: { [key]: null } });
      return c.json({});
    },
  );
