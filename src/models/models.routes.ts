import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { noteChange } from "../platform/audit/note.ts";
import { noRoom, roomToMake } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { insertIf } from "../platform/db/insert.ts";
import { model, modelVersion, versionStates } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { fromWire, toWire } from "../platform/db/wire.ts";
import { afterPlace, filterToSql, orderSql, parseOrder } from "../platform/filter/compile.ts";
import { explainFaults, filterText, orderText, placeOf } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { changedMeanwhile, ifMatch } from "../platform/http/preconditions.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { modelChecks, usualChecks } from "./checks.ts";
import { modelFields } from "./fields.ts";
import { aliasName, modelName, modelParam, nameKey, versionParam } from "./names.ts";
import { provenanceAnswer, readProvenance } from "./provenance.ts";
import {
  hasName,
  hasNumber,
  modelIdOf,
  noVersion,
  ownsModel,
  requireSight,
  selectVersions,
  toVersion,
  versionAnswer,
} from "./queries.ts";

const text = (most: number) => z.string().max(most).nullish();

const settings = {
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

const modelAnswer = z
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
const modelColumns = {
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

export const models = new Hono<App>()
  .post(
    "/",
    describe({
      summary: "Make a model",
      description: "A model is the name under which versions are reviewed, released and fetched.",
      tag: "Models",
      answer: { schema: modelAnswer, description: "The model." },
      errors: {
        403: "`over-limit`: the user has the maximum number of models.",
        409: "A model with that name, or with a name that reads the same, exists already.",
      },
    }),
    allow("models:write"),
    validate("json", z.strictObject({ name: modelName, ...settings })),
    async (c) => {
      const { name, checks, protected_aliases, ...body } = c.req.valid("json");
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
      return c.json(toWire(row));
    },
  )
  .get(
    "/",
    describe({
      summary: "List models",
      description:
        "Newest first. A filter may name name, description, task_type, license, user, created_at, updated_at, versions, aliases.<alias> (a version), tags.<key>, and of the version in production, else the newest: state, rank, alpha, algorithm, base_arch, size, verified, task_id, final_loss, metrics.<metric>.",
      tag: "Models",
      answer: {
        schema: pageAnswer(modelAnswer),
        description: "A page.",
      },
    }),
    allow("models:read"),
    validate(
      "query",
      z.strictObject({
        ...pageQuery,
        filter: filterText.optional(),
        order_by: orderText.optional(),
      }),
    ),
    async (c) => {
      const { limit, cursor, filter, order_by } = c.req.valid("query");
      const fields = modelFields(c.var.auth.scopes.has("tasks:read"));
      const condition = filter?.trim()
        ? explainFaults("filter", () => filterToSql(filter, fields))
        : undefined;
      const order = order_by?.trim()
        ? explainFaults("order_by", () => parseOrder(order_by, fields))
        : [];
      const list = `models ${(await sha256Hex(JSON.stringify([filter, order_by]))).slice(0, 16)}`;
      const after: readonly (string | number | null)[] = placeOf(list, cursor, order) ?? [];
      const [id, ...values] = after;
      const modelId = sql.raw("model.id");
      // A model's place in the order, as JSON: how many fields it has is the caller's choice.
      const place = sql<string>`json_array(${sql.join(
        [modelId, ...order.map((o) => o.column)],
        sql`, `,
      )})`;
      const rows = await c.var.db
        .select({ model: modelColumns, place })
        .from(model)
        .where(
          and(
            condition,
            id === undefined ? undefined : afterPlace(order, values, modelId, Number(id)),
          ),
        )
        .orderBy(orderSql(order, modelId))
        .limit(limit + 1);
      const { items, next_cursor } = page(rows, limit, (last) =>
        encodeCursor(list, JSON.parse(last.place)),
      );
      return c.json({ items: items.map((row) => toWire(row.model)), next_cursor });
    },
  )
  .get(
    "/:name",
    describe({
      summary: "One model",
      tag: "Models",
      answer: { schema: modelAnswer, description: "The model. `ETag` is the version of its row." },
      errors: { 404: "No such model." },
    }),
    allow("models:read"),
    validate("param", modelParam),
    async (c) => {
      const { name } = c.req.valid("param");
      const [row] = await c.var.db
        .select({ model: modelColumns, version: model.version })
        .from(model)
        .where(hasName(name));
      if (!row) throw notFound("model", { id: name });
      c.header("ETag", `"${row.version}"`);
      return c.json(toWire(row.model));
    },
  )
  .patch(
    "/:name",
    describe({
      summary: "Change a model",
      description:
        "For the model's maker and admins. The name cannot change. A change to the checks is recorded and shown to whoever approves the next version; a version in review must still pass the checks of its submission too. With the model's ETag in If-Match, a change that someone else made in the meantime answers 412.",
      tag: "Models",
      answer: { schema: modelAnswer, description: "The model." },
      errors: {
        404: "No such model of yours.",
        409: "A version that is not approved carries an alias that the change would protect.",
        412: "Changed by someone else since it was read.",
      },
    }),
    allow("models:write"),
    validate("param", modelParam),
    validate("json", z.strictObject(settings)),
    async (c) => {
      const { name } = c.req.valid("param");
      const body = c.req.valid("json");
      const { db, auth } = c.var;
      const version = ifMatch(c.req.header("If-Match"));
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
        rows: db
          .select({ model: modelColumns, version: model.version, unfit })
          .from(model)
          .where(mine),
      });
      const [row] = rows;
      if (!row) throw notFound("own-model", { id: name });
      if (!changed.length && version !== null && version !== row.version)
        throw changedMeanwhile(row.version);
      if (!changed.length) throw refuse("alias-on-unapproved", { alias: String(row.unfit) });
      c.header("ETag", `"${row.version}"`);
      return c.json(toWire(row.model));
    },
  )
  .post(
    "/:name/versions",
    describe({
      summary: "Make a version of a weight",
      description:
        "A complete final file or checkpoint becomes the next version: 1, 2, 3, without gaps. Anyone may add a version to any model; it counts once somebody else approves it. The version keeps its run and its bytes, even if somebody deletes them: from now on if the run is the caller's own, otherwise from the submission on.",
      tag: "Models",
      answer: { schema: versionAnswer, description: "The version, as a draft." },
      errors: {
        404: "No such model, or no such weight.",
        409: "The weight is not a complete model file, or it is a version of this model already.",
      },
    }),
    // A version shows its run and gives its file, so its maker must be able to see both.
    allow("models:write", { also: ["weights:read", "tasks:read"] }),
    validate("param", modelParam),
    validate(
      "json",
      z.strictObject({
        weight_id: z.int().positive(),
        notes: text(50_000),
        license: text(200),
      }),
    ),
    async (c) => {
      const { name } = c.req.valid("param");
      const { weight_id, notes, license } = c.req.valid("json");
      const { db, auth } = c.var;
      const isLive = sql`v.model_id = m.id and v.weight_id = ${weight_id} and v.state not in ('rejected', 'retired')`;
      const { made, rows, facts } = await chain(db, {
        made: db.all<{ number: number }>(sql`
          insert into model_version (model_id, number, weight_id, task_id, object_id, filename, size, sha256, notes, license, user_id)
          select m.id, coalesce((select max(number) from model_version v where v.model_id = m.id), 0) + 1,
            w.id, w.task_id, w.object_id, w.filename, w.size, w.sha256, ${notes ?? null}, ${license ?? null}, ${auth.userId}
          from model m join weight w on w.id = ${weight_id} join stored_object o on o.id = w.object_id join training_task t on t.id = w.task_id
          where m.name_key = ${nameKey(name)} and w.kind in ('final', 'checkpoint') and w.state = 'complete' and o.state = 'complete'
            and w.deleted_at is null and t.deleted_at is null and not exists (select 1 from model_version v where ${isLive})
            and coalesce((select max(number) from model_version v where v.model_id = m.id), 0) < ${MOST_VERSIONS}
          returning number`),
        noted: noteChange(db, auth, "made", "model.add_version", modelIdOf(name), {
          model: name,
          weight_id,
        }),
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
      if (made.length && row) return c.json(toVersion(row));
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
    },
  )
  .get(
    "/:name/versions",
    describe({
      summary: "A model's versions",
      tag: "Models",
      answer: {
        schema: pageAnswer(versionAnswer),
        description: "Newest first.",
      },
      errors: { 404: "No such model." },
    }),
    allow("models:read"),
    validate("param", modelParam),
    validate("query", z.strictObject({ ...pageQuery, state: z.enum(versionStates).optional() })),
    async (c) => {
      const { name } = c.req.valid("param");
      const { limit, cursor, state } = c.req.valid("query");
      const { db } = c.var;
      const before = cursor ? decodeCursor("versions", cursor, z.tuple([z.int()]))[0] : undefined;
      const { known, rows } = await chain(db, {
        known: db.select({ id: model.id }).from(model).where(hasName(name)),
        rows: selectVersions(
          db,
          and(
            hasName(name),
            state && eq(modelVersion.state, state),
            before === undefined ? undefined : lt(modelVersion.number, before),
          ),
        )
          .orderBy(desc(modelVersion.number))
          .limit(limit + 1),
      });
      if (!known.length) throw notFound("model", { id: name });
      return c.json(
        page(rows.map(toVersion), limit, (last) => encodeCursor("versions", [last.version])),
      );
    },
  )
  .get(
    "/:name/versions/:number",
    describe({
      summary: "One version, with its origin",
      description:
        "The weight, the run with its settings, hardware and figures, the data, the decision on the version with the evidence as it was then, and the cost.",
      tag: "Models",
      answer: {
        schema: provenanceAnswer,
        description: "The version. `ETag` is the version of its row.",
      },
      errors: {
        403: "The version was never approved, and the key lacks tasks:read.",
        404: "No such version.",
      },
    }),
    allow("models:read"),
    validate("param", versionParam),
    async (c) => {
      const { name, number } = c.req.valid("param");
      const found = await readProvenance(c.var.db, hasNumber(name, number));
      if (!found) throw noVersion(name, number);
      requireSight(c.var.auth, ["tasks:read"], found.row);
      c.header("ETag", `"${found.row.row.version}"`);
      // In a one-person ledger nobody's part in a version keeps them from deciding on it.
      const { ALLOW_SELF_APPROVAL } = c.var.config;
      return c.json({ ...found.answer, ...(ALLOW_SELF_APPROVAL && { parties: [] }) });
    },
  )
  .patch(
    "/:name/versions/:number",
    describe({
      summary: "Change a version's notes or licence",
      description:
        "For the maker of the version or of the model. The licence changes only while the version is a draft; notes change at any time.",
      tag: "Models",
      answer: { schema: versionAnswer, description: "The version." },
      errors: {
        404: "No such version of yours.",
        409: "The version is no longer a draft.",
        412: "Changed by someone else since it was read.",
      },
    }),
    allow("models:write"),
    validate("param", versionParam),
    validate("json", z.strictObject({ notes: text(50_000), license: text(200) })),
    async (c) => {
      const { name, number } = c.req.valid("param");
      const body = c.req.valid("json");
      if (Object.keys(body).length === 0)
        throw notValid([{ path: "", message: "names nothing to change" }]);
      const { db, auth } = c.var;
      const version = ifMatch(c.req.header("If-Match"));
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
      c.header("ETag", `"${row.row.version}"`);
      return c.json(toVersion(row));
    },
  );
