import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { model, modelVersion, versionStates } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import { afterPlace, filterToSql, orderSql, parseOrder } from "../platform/filter/compile.ts";
import { explainFaults, filterText, orderText, placeOf } from "../platform/filter/request.ts";
import type { App } from "../platform/http/context.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { ifMatch } from "../platform/http/preconditions.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { modelFields } from "./fields.ts";
import {
  addVersion,
  changeModel,
  changeVersion,
  makeModel,
  modelAnswer,
  modelColumns,
  settings,
  text,
} from "./make.ts";
import { modelName, modelParam, versionParam } from "./names.ts";
import { provenanceAnswer, readProvenance } from "./provenance.ts";
import {
  hasName,
  hasNumber,
  noVersion,
  requireSight,
  selectVersions,
  toVersion,
  versionAnswer,
} from "./queries.ts";

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
    async (c) => c.json(toWire(await makeModel(c, c.req.valid("json")))),
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
      const version = ifMatch(c.req.header("If-Match"));
      const { name } = c.req.valid("param");
      const row = await changeModel(c, name, c.req.valid("json"), version);
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
    async (c) =>
      c.json(toVersion(await addVersion(c, c.req.valid("param").name, c.req.valid("json")))),
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
      const version = ifMatch(c.req.header("If-Match"));
      const row = await changeVersion(c, { name, number }, body, version);
      c.header("ETag", `"${row.row.version}"`);
      return c.json(toVersion(row));
    },
  );
