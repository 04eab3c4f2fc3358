import { and, desc, eq, lt, type SQL, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { tellLater } from "../alerts/outbox.ts";
import { audit } from "../platform/audit/audit.ts";
import { owns } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import type { Statement } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { model, modelAlias, modelAliasMove, modelVersion } from "../platform/db/schema.ts";
import { recordEvent } from "../platform/events.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { changedMeanwhile, ifMatch } from "../platform/http/preconditions.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { aliasParam, modelParam, nameKey } from "./names.ts";
import { modelIdOf, named, noVersion, numbered, requireBytes, selectVersions } from "./queries.ts";

/** The alias that makes a version `released`. */
export const PRODUCTION = "production";

const aliasAnswer = z
  .object({
    alias: z.string(),
    version: z.int(),
    state: z.string(),
    moved_at: z.string(),
    moved_by: z.string(),
    move_id: z.int().describe("Of the last move: what its ETag says, for If-Match."),
  })
  .meta({ id: "Alias" });

const moveAnswer = z
  .object({
    id: z.int(),
    alias: z.string(),
    from_version: z.int().nullable(),
    version: z.int().nullable().describe("null: it was taken away."),
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
  from_version: numberOf(sql`model_alias_move.from_version_id`),
  version: numberOf(sql`model_alias_move.version_id`),
  rollback: modelAliasMove.rollback,
  reason: modelAliasMove.reason,
  moved_by: sql<string>`(select name from user where user.id = model_alias_move.user_id)`,
  at: modelAliasMove.at,
};

const aliasColumns = {
  alias: modelAlias.alias,
  version: modelVersion.number,
  state: modelVersion.state,
  moved_at: modelAlias.movedAt,
  moved_by: sql<string>`(select u.name from model_alias_move x join user u on u.id = x.user_id where x.id = model_alias.move_id)`,
  move_id: modelAlias.moveId,
};

const selectAliases = (db: Db, condition: SQL | undefined) =>
  db
    .select(aliasColumns)
    .from(modelAlias)
    .innerJoin(model, eq(model.id, modelAlias.modelId))
    .innerJoin(modelVersion, eq(modelVersion.id, modelAlias.versionId))
    .where(condition);

/** Whether an alias of the model `m` may stand on approved versions only. */
const isProtected = (alias: string) =>
  sql`(${alias} = ${PRODUCTION} or exists (select 1 from json_each(m.protected_aliases) where value = ${alias}))`;

/** Who may move an alias of the model `m`: releasers any, its owner those that are not protected. */
const mayMove = (c: Context<App>, alias: string) => {
  const { auth } = c.var;
  if (auth.scopes.has("models:release")) return sql`true`;
  const owner = owns(auth, sql`m.user_id`);
  return sql`(not ${isProtected(alias)} and ${owner})`;
};

type Move = {
  name: string;
  alias: string;
  /** The number that the caller named; null: taken away, or found by going back. */
  version: number | null;
  /** The version's id, null to take the alias away; may use `m`, and `a` where the alias is now. */
  target: SQL;
  reason: string | null;
  rollback?: boolean;
  /** The move after which the caller saw the alias; undefined: whatever happened since. */
  expected: number | null;
  /** What must hold of the version `v` besides. */
  condition?: SQL;
};

/**
 * A statement that moves an alias and answers with the move, or with nothing where it may not: the
 * triggers keep the alias itself, and the states that go with `production`, by it.
 */
const moveAlias = (c: Context<App>, move: Move) => {
  const { db, auth } = c.var;
  const { name, alias, target, reason, rollback = false, expected } = move;
  return db.all<{ id: number }>(sql`
    insert into model_alias_move (model_id, alias, from_version_id, version_id, rollback, user_id, reason)
    select m.id, ${alias}, a.version_id, v.id, ${Number(rollback)}, ${auth.userId}, ${reason}
    from model m
      left join model_alias a on a.model_id = m.id and a.alias = ${alias}
      left join model_version v on v.id = ${target} and v.model_id = m.id
    where m.name_key = ${nameKey(name)} and ${mayMove(c, alias)} and a.version_id is not v.id
      and (v.id is not null or ${target} is null)
      and (v.id is null or v.state in ('approved', 'released') or (v.state in ('draft', 'in_review') and not ${isProtected(alias)}))
      and ${expected === null ? sql`true` : sql`a.move_id is ${expected}`}
      and ${move.condition ?? sql`true`}
    returning id`);
};

/** Statements that take every alias off a version that is about to end; `v` is the version. */
export const dropAliases = (c: Context<App>, version: SQL, reason: string): Statement =>
  c.var.db.run(sql`
    insert into model_alias_move (model_id, alias, from_version_id, version_id, user_id, reason)
    select a.model_id, a.alias, a.version_id, null, ${c.var.auth.userId}, ${reason}
    from model_version v join model m on m.id = v.model_id join model_alias a on a.version_id = v.id
    where ${version}`);

const reasonField = z.string().trim().max(2000).nullish().describe("Kept in the history.");

const actionOf = ({ alias, version, rollback }: Omit<Move, "expected">) =>
  rollback
    ? "model.roll_back"
    : version === null
      ? "model.remove_alias"
      : alias === PRODUCTION
        ? "model.release"
        : "model.move_alias";

/**
 * Moves an alias and says where it is now; `moved` is false where it stood there already, or where
 * there is nothing to move. Throws ApiError 403, 404, 409, 412.
 */
export async function move(c: Context<App>, wanted: Omit<Move, "expected">) {
  const { db, auth } = c.var;
  const { name, alias, reason } = wanted;
  const expected = ifMatch(c.req.header("If-Match"));
  const [[moved], , , [now], [found]] = await db.batch([
    moveAlias(c, { ...wanted, expected }),
    audit(
      db,
      c.var.auth,
      actionOf(wanted),
      sql`select m.id from model m where m.name_key = ${nameKey(name)} and changes() = 1`,
      { model: name, alias, version: wanted.version, reason },
    ),
    recordEvent(
      db,
      "released",
      "model",
      sql`select m.id, 0, v.user_id, t.experiment_group, m.name,
          json_object('version', v.number, 'released_by', ${auth.userName}, 'reason', ${reason}, 'rollback', json(iif(${Number(wanted.rollback ?? false)}, 'true', 'false'))), a.move_id
        from model m join model_alias a on a.model_id = m.id and a.alias = ${PRODUCTION}
          join model_version v on v.id = a.version_id left join training_task t on t.id = v.task_id
        where m.name_key = ${nameKey(name)} and ${alias} = ${PRODUCTION} and changes() = 1`,
    ),
    selectAliases(db, and(named(name), eq(modelAlias.alias, alias))),
    db.all<{ state: string | null; number: number | null; may: number; protected: number }>(sql`
      select v.state, v.number, ${mayMove(c, alias)} as may, ${isProtected(alias)} as protected
      from model m left join model_alias a on a.model_id = m.id and a.alias = ${alias}
        left join model_version v on v.id = ${wanted.target} and v.model_id = m.id
      where m.name_key = ${nameKey(name)}`),
  ]);
  if (!found) throw notFound("model", { id: name });
  if (now) c.header("ETag", `"${now.move_id}"`);
  if (moved) {
    if (alias === PRODUCTION) tellLater(c);
    return { moved: true, now };
  }
  if (expected !== null && now?.move_id !== expected) throw changedMeanwhile(now?.move_id ?? 0);
  if (!found.may && found.protected) throw refuse("not-allowed", { case: "protected", alias });
  if (!found.may) throw notFound("alias-mover", { model: name });
  const { state, number } = found;
  if (
    state === "rejected" ||
    state === "retired" ||
    (found.protected && state !== null && state !== "approved" && state !== "released")
  )
    throw refuse(
      "not-approved",
      state === "rejected" || state === "retired"
        ? { case: "ended", version: Number(number), state }
        : { case: "waiting", version: Number(number), state, alias },
      { extra: { current_state: state } },
    );
  return { moved: false, now };
}

/** A page of the moves of a model's alias, or of all its aliases. Throws ApiError 404, 422. */
async function history(
  db: Db,
  name: string,
  { limit, cursor, alias }: { limit: number; cursor?: string; alias?: string },
) {
  const before = cursor ? decodeCursor("moves", cursor, z.tuple([z.int()]))[0] : undefined;
  const [[known], rows] = await db.batch([
    db.select({ id: model.id }).from(model).where(named(name)),
    db
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
  ]);
  if (!known) throw notFound("model", { id: name });
  return page(rows, limit, (last) => encodeCursor("moves", [last.id]));
}

const historyAnswer = {
  schema: pageAnswer(moveAnswer),
  description: "Newest first.",
};

const cannotMove = {
  403: "The alias is protected and the key may not release.",
  404: "No such model of yours (or of anyone's, with models:release), version or alias.",
  409: "The version is not approved, or its bytes are gone.",
  412: "Moved by someone else since it was read (If-Match: the alias's ETag).",
};

export const aliases = new Hono<App>()
  .get(
    "/:name/aliases",
    describe({
      summary: "A model's aliases",
      tag: "Models",
      answer: {
        schema: z.object({ aliases: z.array(aliasAnswer) }),
        description: "Where each is now.",
      },
      errors: { 404: "No such model." },
    }),
    allow("models:read"),
    validate("param", modelParam),
    async (c) => {
      const { name } = c.req.valid("param");
      const { db } = c.var;
      const [[known], rows] = await db.batch([
        db.select({ id: model.id }).from(model).where(named(name)),
        selectAliases(db, named(name)).orderBy(modelAlias.alias),
      ]);
      if (!known) throw notFound("model", { id: name });
      return c.json({ aliases: rows });
    },
  )
  .put(
    "/:name/aliases/:alias",
    describe({
      summary: "Let an alias name a version",
      description:
        "Moved at once, with its history. `production` and the model's protected aliases stand on approved versions only and take the scope models:release; whatever carries `production` is released.",
      tag: "Models",
      answer: { schema: aliasAnswer, description: "Where it is now. `ETag` names the move." },
      errors: cannotMove,
    }),
    allow("models:write"),
    validate("param", aliasParam),
    validate("json", z.strictObject({ version: z.int().positive(), reason: reasonField })),
    async (c) => {
      const { name, alias } = c.req.valid("param");
      const { version, reason } = c.req.valid("json");
      const [row] = await selectVersions(c.var.db, numbered(name, version));
      if (!row) throw noVersion(name, version);
      await requireBytes(c, row);
      const target = sql`${row.row.id}`;
      const { now } = await move(c, { name, alias, version, target, reason: reason ?? null });
      return c.json(now);
    },
  )
  .delete(
    "/:name/aliases/:alias",
    describe({
      summary: "Take an alias away",
      description: "`rollback` brings it back. A pull that has its link already goes on.",
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
      summary: "Put an alias back to where it was before",
      description: "Repeated, it goes back further.",
      tag: "Models",
      answer: { schema: aliasAnswer, description: "Where it is now." },
      errors: { ...cannotMove, 409: "There is nothing before, or that version was retired." },
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
      return c.json(now);
    },
  )
  .get(
    "/:name/aliases/history",
    describe({
      summary: "Every move of a model's aliases",
      description: "Also of those that were taken away.",
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
