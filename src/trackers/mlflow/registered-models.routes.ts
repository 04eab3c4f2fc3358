import { and, eq, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { move } from "../../models/aliases.ts";
import { changeModel, makeModel, patchTags } from "../../models/make.ts";
import { nameKey } from "../../models/names.ts";
import { hasNumber, noVersion, requireBytes, selectVersions } from "../../models/queries.ts";
import { allow } from "../../platform/auth/middleware.ts";
import { model, modelAlias, modelVersion } from "../../platform/db/schema.ts";
import { afterPlace, orderSql } from "../../platform/filter/compile.ts";
import type { App } from "../../platform/http/context.ts";
import { ApiError } from "../../platform/http/problem.ts";
import { limitBody, validate } from "../../platform/http/validate.ts";
import { conditionOf, type Field, listName, orderOf, pageOf, placeOfToken } from "./clauses.ts";
import { MlflowError, mlflowProblem } from "./form.ts";
import { requireMlflowKey } from "./key.ts";
import { pair, pairs, toMap } from "./logged-models.ts";
import {
  checkAlias,
  checkName,
  checkNumber,
  explainApproval,
  latestVersions,
  namedModel,
  noRegistered,
  readRegistered,
  readVersion,
  selectRegistered,
  stages,
  toRegistered,
} from "./registry.ts";

const name = z.string().max(300).optional();
const description = z.string().max(20_000).nullish();

/** `order_by` of a query: repeated, or one text with commas. */
const orderQuery = (queries: string[] | undefined) =>
  (queries ?? []).flatMap((text) => text.split(",")).filter((text) => text.trim() !== "");

const searchQuery = z.object({
  filter: z.string().max(10_000).default(""),
  max_results: z.coerce.number().int().min(1).max(200_000).optional(),
  page_token: z.string().max(4000).optional(),
});

function fieldOf(entity: string, key: string): Field | null {
  if (entity === "attribute" && key === "name") return { sql: sql`model.name`, type: "text" };
  if (entity !== "tag") return null;
  return {
    sql: sql`(select value from json_each(model.tags) where key = ${key})`,
    type: "text",
    // MLflow's client asks each time for models without a tag by `!=`.
    missingDiffers: true,
  };
}

const aliasBody = z.object({ name, alias: z.string().max(300).optional() });

/** Registered models: the ledger's models, in MLflow's form. */
export const registeredModels = new Hono<App>()
  .onError(mlflowProblem)
  .use("/*", requireMlflowKey, limitBody(1_000_000))
  .post(
    "/create",
    allow("models:write"),
    validate("json", z.object({ name, description, tags: pairs })),
    async (c) => {
      const { tags, description, ...body } = c.req.valid("json");
      const wanted = checkName(body.name);
      try {
        await makeModel(c, { name: wanted, description, tags: toMap(tags) });
      } catch (error) {
        // Clients go on with the model that is there by this name of the error.
        if (error instanceof ApiError && error.code === "name-taken")
          throw new MlflowError("RESOURCE_ALREADY_EXISTS", error.message);
        throw error;
      }
      return c.json({ registered_model: await readRegistered(c.var.db, wanted) });
    },
  )
  .get("/get", allow("models:read"), validate("query", z.object({ name })), async (c) =>
    c.json({
      registered_model: await readRegistered(c.var.db, namedModel(c.req.valid("query").name)),
    }),
  )
  .get("/search", allow("models:read"), validate("query", searchQuery), async (c) => {
    const { filter, max_results, page_token } = c.req.valid("query");
    const { db } = c.var;
    const limit = Math.min(max_results ?? 100, 1000);
    const order_by = orderQuery(c.req.queries("order_by"));
    const order = orderOf(order_by.length ? order_by : ["name asc"], {
      name: sql`model.name`,
      timestamp: sql`model.updated_at`,
      last_updated_timestamp: sql`model.updated_at`,
      creation_timestamp: sql`model.created_at`,
    });
    const list = await listName("registered models", filter, order_by);
    const after = placeOfToken(list, page_token);
    const id = sql.raw("model.id");
    const rows = await selectRegistered(
      db,
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
      registered_models: await toRegistered(db, items),
      ...(token && { next_page_token: token }),
    });
  })
  .patch(
    "/update",
    allow("models:write"),
    validate("json", z.object({ name, description })),
    async (c) => {
      const body = c.req.valid("json");
      const wanted = namedModel(body.name);
      await changeModel(c, wanted, { description: body.description ?? null }, null);
      return c.json({ registered_model: await readRegistered(c.var.db, wanted) });
    },
  )
  .post(
    "/rename",
    allow("models:write"),
    validate("json", z.object({ name, new_name: z.string().max(300).optional() })),
    async (c) => {
      const found = await readRegistered(c.var.db, namedModel(c.req.valid("json").name));
      throw new MlflowError(
        "INVALID_STATE",
        `The name of ${found.name} cannot change: aliases, shares and people refer to it. Create another model, and register its versions there.`,
      );
    },
  )
  .delete("/delete", allow("models:write"), validate("json", z.object({ name })), async (c) => {
    const found = await readRegistered(c.var.db, namedModel(c.req.valid("json").name));
    throw new MlflowError(
      "INVALID_STATE",
      `${found.name} stays: the ledger deletes no model, so that what was approved and released can be looked up. Archive its versions instead.`,
    );
  })
  .post("/set-tag", allow("models:write"), validate("json", pair.extend({ name })), async (c) => {
    const { key, value, ...body } = c.req.valid("json");
    await patchTags(c, namedModel(body.name), { [key]: value });
    return c.json({});
  })
  .delete(
    "/delete-tag",
    allow("models:write"),
    validate("json", z.object({ name, key: z.string().min(1).max(250) })),
    async (c) => {
      const { key, ...body } = c.req.valid("json");
      await patchTags(c, namedModel(body.name), { [key]: null });
      return c.json({});
    },
  )
  .on(["GET", "POST"], "/get-latest-versions", allow("models:read"), async (c) => {
    const asked =
      c.req.method === "GET"
        ? { name: c.req.query("name"), stages: c.req.queries("stages") }
        : await c.req.json();
    const { data } = z
      .object({ name, stages: z.array(z.string().max(50)).max(10).nullish() })
      .safeParse(asked);
    const wanted = namedModel(data?.name);
    const known = data?.stages?.length ? data.stages : stages;
    const unknown = known.find(
      (stage) => !stages.some((s) => s.toLowerCase() === stage.toLowerCase()),
    );
    if (unknown !== undefined)
      throw new MlflowError(
        "INVALID_PARAMETER_VALUE",
        `Invalid Model Version stage: ${unknown}. Value must be one of ${stages.join(", ")}.`,
      );
    const [row] = await selectRegistered(c.var.db, eq(model.nameKey, nameKey(wanted)));
    if (!row) throw noRegistered(wanted);
    const named = stages.filter((s) => known.some((k) => k.toLowerCase() === s.toLowerCase()));
    const latest = await latestVersions(c.var.db, [row.id], named);
    return c.json({ model_versions: latest.get(row.name) ?? [] });
  })
  .post(
    "/alias",
    allow("models:write"),
    validate("json", aliasBody.extend({ version: z.union([z.string(), z.number()]).optional() })),
    async (c) => {
      const body = c.req.valid("json");
      const [wanted, alias] = [namedModel(body.name), checkAlias(body.alias)];
      const version = checkNumber(body.version);
      const [row] = await selectVersions(c.var.db, hasNumber(wanted, version));
      if (!row) throw noVersion(wanted, version);
      await requireBytes(c, row);
      try {
        await move(c, { name: wanted, alias, version, target: sql`${row.row.id}`, reason: null });
      } catch (error) {
        throw explainApproval(error);
      }
      return c.json({});
    },
  )
  .get("/alias", allow("models:read"), validate("query", aliasBody), async (c) => {
    const query = c.req.valid("query");
    const [wanted, alias] = [namedModel(query.name), checkAlias(query.alias)];
    const [row] = await c.var.db
      .select({ number: modelVersion.number })
      .from(modelAlias)
      .innerJoin(model, eq(model.id, modelAlias.modelId))
      .innerJoin(modelVersion, eq(modelVersion.id, modelAlias.versionId))
      .where(and(eq(model.nameKey, nameKey(wanted)), eq(modelAlias.alias, alias)));
    if (!row) {
      await readRegistered(c.var.db, wanted);
      throw new MlflowError(
        // This code, and not that of things that are not there, is what clients take as "no such alias".
        "INVALID_PARAMETER_VALUE",
        `Registered model alias ${alias} not found.`,
      );
    }
    return c.json({ model_version: await readVersion(c.var.db, wanted, row.number) });
  })
  .delete("/alias", allow("models:write"), validate("json", aliasBody), async (c) => {
    const body = c.req.valid("json");
    const [wanted, alias] = [namedModel(body.name), checkAlias(body.alias)];
    // One that is not there is no error, as with MLflow's own server.
    await move(c, { name: wanted, alias, version: null, target: sql`null`, reason: null });
    return c.json({});
  });
