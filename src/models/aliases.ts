import { and, eq, type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { tellLater } from "../alerts/outbox.ts";
import { noteChange } from "../platform/audit/note.ts";
import { owns } from "../platform/auth/access.ts";
import { chain, ifChanged, type Statement } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { model, modelAlias, modelVersion } from "../platform/db/schema.ts";
import { recordEvent } from "../platform/events.ts";
import type { App } from "../platform/http/context.ts";
import { changedMeanwhile, ifMatch } from "../platform/http/preconditions.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { nameKey } from "./names.ts";
import { hasName, modelIdOf } from "./queries.ts";

/** The alias that makes a version `released`. */
export const PRODUCTION = "production";

const aliasColumns = {
  alias: modelAlias.alias,
  version: modelVersion.number,
  state: modelVersion.state,
  movedAt: modelAlias.movedAt,
  movedBy: sql<string>`(select u.name from model_alias_move x join user u on u.id = x.user_id where x.id = model_alias.move_id)`,
  moveId: modelAlias.moveId,
};

export const selectAliases = (db: Db, condition: SQL | undefined) =>
  db
    .select(aliasColumns)
    .from(modelAlias)
    .innerJoin(model, eq(model.id, modelAlias.modelId))
    .innerJoin(modelVersion, eq(modelVersion.id, modelAlias.versionId))
    .where(condition);

/** Whether an alias of the model `m` may name approved versions only. */
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
  /** The number that the caller named; null: the alias is removed or rolled back. */
  version: number | null;
  /** The version's id, null to remove the alias; may use `m`, and `a` for the alias as it is now. */
  target: SQL;
  reason: string | null;
  rollback?: boolean;
  /** The move after which the caller saw the alias; null: any. */
  expected: number | null;
  /** A further condition on the version `v`. */
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

/** A statement that removes every alias from a version that is about to end; `v` is the version. */
export const dropAliases = (c: Context<App>, version: SQL, reason: string): Statement =>
  c.var.db.run(sql`
    insert into model_alias_move (model_id, alias, from_version_id, version_id, user_id, reason)
    select a.model_id, a.alias, a.version_id, null, ${c.var.auth.userId}, ${reason}
    from model_version v join model m on m.id = v.model_id join model_alias a on a.version_id = v.id
    where ${version}`);

const actionOf = ({ alias, version, rollback }: Omit<Move, "expected">) =>
  rollback
    ? "model.roll_back"
    : version === null
      ? "model.remove_alias"
      : alias === PRODUCTION
        ? "model.release"
        : "model.move_alias";

/**
 * Moves an alias and answers with the alias as it is now; `moved` is false if it named that version
 * already, or if there is nothing to move. Throws ApiError 403, 404, 409, 412.
 */
export async function move(c: Context<App>, wanted: Omit<Move, "expected">) {
  const { db, auth } = c.var;
  const { name, alias, reason } = wanted;
  const expected = ifMatch(c.req.header("If-Match"));
  const { moved, aliases, models } = await chain(db, {
    moved: moveAlias(c, { ...wanted, expected }),
    noted: noteChange(db, auth, "moved", actionOf(wanted), modelIdOf(name), {
      model: name,
      alias,
      version: wanted.version,
      reason,
    }),
    event: ifChanged("noted", (changed) =>
      recordEvent(
        db,
        "released",
        "model",
        sql`select m.id, 0, v.user_id, t.experiment_group, m.name,
          json_object('version', v.number, 'released_by', ${auth.userName}, 'reason', ${reason}, 'rollback', json(iif(${Number(wanted.rollback ?? false)}, 'true', 'false'))), a.move_id
        from model m join model_alias a on a.model_id = m.id and a.alias = ${PRODUCTION}
          join model_version v on v.id = a.version_id left join training_task t on t.id = v.task_id
        where m.name_key = ${nameKey(name)} and ${alias} = ${PRODUCTION} and ${changed}`,
      ),
    ),
    aliases: selectAliases(db, and(hasName(name), eq(modelAlias.alias, alias))),
    models: db.all<{
      state: string | null;
      number: number | null;
      may: number;
      protected: number;
    }>(sql`
      select v.state, v.number, ${mayMove(c, alias)} as may, ${isProtected(alias)} as protected
      from model m left join model_alias a on a.model_id = m.id and a.alias = ${alias}
        left join model_version v on v.id = ${wanted.target} and v.model_id = m.id
      where m.name_key = ${nameKey(name)}`),
  });
  const [now] = aliases;
  const [found] = models;
  if (!found) throw notFound("model", { id: name });
  if (now) c.header("ETag", `"${now.moveId}"`);
  if (moved.length) {
    if (alias === PRODUCTION) tellLater(c);
    return { moved: true, now };
  }
  if (expected !== null && now?.moveId !== expected) throw changedMeanwhile(now?.moveId ?? 0);
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
