import { and, desc, eq, lt, type SQL, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { model, modelAlias, modelAliasMove } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { move, selectAliases } from "./aliases.ts";
import { aliasParam, modelParam } from "./names.ts";
import {
  hasName,
  hasNumber,
  modelIdOf,
  noVersion,
  requireBytes,
  selectVersions,
} from "./queries.ts";

const aliasAnswer = z
  .object({
    alias: z.string(),
    version: z.int(),
    state: z.string(),
    moved_at: z.string(),
    moved_by: z.string(),
    move_id: z.int().describe("The last move of the alias, which is also its ETag, for If-Match."),
  })
  .meta({ id: "Alias" });

const moveAnswer = z
  .object({
    id: z.int(),
    alias: z.string(),
    from_version: z.int().nullable(),
    version: z.int().nullable().describe("null: the alias was removed."),
    rollback: z.boolean(),
    reason: z.string().nullable(),
    moved_by: z.string(),
    at: z.string(),
  })
  .meta({ id: "AliasMove" });

const numberOf = (id: SQL) =>
  sql<number | null>`(select v.number from model_version v where v.id = ${id})`;

const moveColumns = {
  id: modelAliasMove.id,
  alias: modelAliasMove.alias,
  fromVersion: numberOf(sql`model_alias_move.from_version_id`),
  version: numberOf(sql`model_alias_move.version_id`),
  rollback: modelAliasMove.rollback,
  reason: modelAliasMove.reason,
  movedBy: sql<string>`(select name from user where user.id = model_alias_move.user_id)`,
  at: modelAliasMove.at,
};

const reasonField = z.string().trim().max(2000).nullish().describe("The history keeps it.");

/** A page of the moves of a model's alias, or of all its aliases. Throws ApiError 404, 422. */
async function history(
  db: Db,
  name: string,
  { limit, cursor, alias }: { limit: number; cursor?: string; alias?: string },
) {
  const before = cursor ? decodeCursor("moves", cursor, z.tuple([z.int()]))[0] : undefined;
  const { known, rows } = await chain(db, {
    known: db.select({ id: model.id }).from(model).where(hasName(name)),
    rows: db
      .select(moveColumns)
      .from(modelAliasMove)
      .where(
        and(
          eq(modelAliasMove.modelId, modelIdOf(name)),
          alias === undefined ? undefined : eq(modelAliasMove.alias, alias),
          before === undefined ? undefined : lt(modelAliasMove.id, before),
        ),
      )
      .orderBy(desc(modelAliasMove.id))
      .limit(limit + 1),
  });
  if (!known.length) throw notFound("model", { id: name });
  return page(rows.map(toWire), limit, (last) => encodeCursor("moves", [last.id]));
}

const historyAnswer = {
  schema: pageAnswer(moveAnswer),
  description: "Newest first.",
};

const cannotMove = {
  403: "The alias is protected and the key may not release.",
  404: "No such model of yours (or of anyone's, with models:release), version or alias.",
  409: "The version is not approved, or its bytes are gone.",
  412: "Someone else moved the alias since it was read (If-Match: the alias's ETag).",
};

export const aliases = new Hono<App>()
  .get(
    "/:name/aliases",
    describe({
      summary: "A model's aliases",
      tag: "Models",
      answer: {
        schema: z.object({ aliases: z.array(aliasAnswer) }),
        description: "The version that each alias names now.",
      },
      errors: { 404: "No such model." },
    }),
    allow("models:read"),
    validate("param", modelParam),
    async (c) => {
      const { name } = c.req.valid("param");
      const { db } = c.var;
      const { known, rows } = await chain(db, {
        known: db.select({ id: model.id }).from(model).where(hasName(name)),
        rows: selectAliases(db, hasName(name)).orderBy(modelAlias.alias),
      });
      if (!known.length) throw notFound("model", { id: name });
      return c.json({ aliases: rows.map(toWire) });
    },
  )
  .put(
    "/:name/aliases/:alias",
    describe({
      summary: "Let an alias name a version",
      description:
        "The alias moves at once, and its history keeps the move. `production` and the model's protected aliases name approved versions only, and moving them takes the scope models:release; the version that carries `production` is released.",
      tag: "Models",
      answer: {
        schema: aliasAnswer,
        description: "The alias as it is now. `ETag` names the move.",
      },
      errors: cannotMove,
    }),
    allow("models:write"),
    validate("param", aliasParam),
    validate("json", z.strictObject({ version: z.int().positive(), reason: reasonField })),
    async (c) => {
      const { name, alias } = c.req.valid("param");
      const { version, reason } = c.req.valid("json");
      const [row] = await selectVersions(c.var.db, hasNumber(name, version));
      if (!row) throw noVersion(name, version);
      await requireBytes(c, row);
      const target = sql`${row.row.id}`;
      const { now } = await move(c, { name, alias, version, target, reason: reason ?? null });
      return c.json(now && toWire(now));
    },
  )
  .delete(
    "/:name/aliases/:alias",
    describe({
      summary: "Remove an alias",
      description:
        "`rollback` brings the alias back. A download that has its link already continues.",
      tag: "Models",
      errors: cannotMove,
    }),
    allow("models:write"),
    validate("param", aliasParam),
    async (c) => {
      const { name, alias } = c.req.valid("param");
      const gone = { name, alias, version: null, target: sql`null`, reason: null };
      if (!(await move(c, gone)).moved) throw notFound("alias", { alias: alias, model: name });
      return c.body(null, 204);
    },
  )
  .post(
    "/:name/aliases/:alias/rollback",
    describe({
      summary: "Roll an alias back to the version before",
      description: "Each repetition rolls back one move further.",
      tag: "Models",
      answer: { schema: aliasAnswer, description: "The alias as it is now." },
      errors: {
        ...cannotMove,
        409: "The alias named no version before, or that version was retired.",
      },
    }),
    allow("models:write"),
    validate("param", aliasParam),
    validate("json", z.strictObject({ reason: reasonField })),
    async (c) => {
      const { name, alias } = c.req.valid("param");
      const reason = c.req.valid("json").reason ?? null;
      // Where it came from when it was last moved here, going back itself not counted.
      const target = sql`(select x.from_version_id from model_alias_move x
        where x.model_id = m.id and x.alias = ${alias} and not x.rollback
          and x.version_id is a.version_id order by x.id desc limit 1)`;
      const back = { name, alias, version: null, target, reason, rollback: true };
      const { moved, now } = await move(c, { ...back, condition: sql`v.id is not null` });
      if (!moved) throw refuse("no-previous-version", { alias });
      return c.json(now && toWire(now));
    },
  )
  .get(
    "/:name/aliases/history",
    describe({
      summary: "Every move of a model's aliases",
      description: "Including aliases that were removed.",
      tag: "Models",
      answer: historyAnswer,
      errors: { 404: "No such model." },
    }),
    allow("models:read"),
    validate("param", modelParam),
    validate("query", z.strictObject(pageQuery)),
    async (c) => c.json(await history(c.var.db, c.req.valid("param").name, c.req.valid("query"))),
  )
  .get(
    "/:name/aliases/:alias/history",
    describe({
      summary: "Every move of an alias",
      tag: "Models",
      answer: historyAnswer,
      errors: { 404: "No such model." },
    }),
    allow("models:read"),
    validate("param", aliasParam),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { name, alias } = c.req.valid("param");
      return c.json(await history(c.var.db, name, { ...c.req.valid("query"), alias }));
    },
  );
