/* The steps of a version from a draft to its end: each of them is one batch. */
import { type SQL, sql } from "drizzle-orm";
import type { Context } from "hono";
import { tellLater } from "../alerts/outbox.ts";
import { storeOf } from "../files/bucket/open.ts";
import { hashObject, noteVerified } from "../files/verify.ts";
import { noteChange } from "../platform/audit/note.ts";
import { unlessAdmin } from "../platform/auth/access.ts";
import { chain, ifChanged, type Part } from "../platform/db/batch.ts";
import { modelVersion, type versionStates } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { recordEvent } from "../platform/events.ts";
import type { App } from "../platform/http/context.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { dropAliases, move, PRODUCTION } from "./aliases.ts";
import { failedChecks, refuseFailedChecks, versionWithEvidence } from "./checks.ts";
import { nameKey } from "./names.ts";
import { parties } from "./parties.ts";
import {
  hasNumber,
  modelIdOf,
  noVersion,
  requireBytes,
  selectVersions,
  toVersion,
} from "./queries.ts";

type State = (typeof versionStates)[number];
export type Ref = { name: string; number: number };

/** Condition that the caller made the version `v` or its model `m`, or is an admin. */
const madeByCaller = ({ var: { auth } }: Context<App>) =>
  unlessAdmin(auth, sql`${auth.userId} in (v.user_id, m.user_id)`);

/** Condition that the caller has no part in the version `v`. */
export const hasNoPart = ({ var: { auth, config } }: Context<App>) =>
  config.ALLOW_SELF_APPROVAL ? sql`true` : sql`${auth.userId} not in (select id from (${parties}))`;

const isVersion = ({ name, number }: Ref) =>
  sql`m.name_key = ${nameKey(name)} and v.number = ${number}`;

/** The id of a version, or null where the statement before did not change it. */
export const idOf = (ref: Ref, changed: SQL) =>
  sql`(select v.id from model_version v join model m on m.id = v.model_id where ${isVersion(ref)} and ${changed})`;

type Step = {
  from: readonly State[];
  to: State;
  action: `model.${string}`;
  set?: object;
  /** Who may; `own` decides which refusal others get. */
  may: SQL;
  own?: "forbidden";
  /** Whether the model's checks must hold. */
  checked?: boolean;
  reason?: string | null;
  /** Takes the version's aliases away first. */
  ends?: boolean;
  /** Further statements of the batch, after the statement `noted`. */
  after?: Record<string, Part>;
};

/** Moves a version to another state. Throws ApiError 403, 404, 409. */
export async function advance(c: Context<App>, ref: Ref, step: Step) {
  const { db } = c.var;
  const failed = step.checked ? failedChecks : sql<string>`'[]'`;
  const fit = sql`${isVersion(ref)} and ${step.may} and ${failed} = '[]'`;
  const from = sql.join(
    step.from.map((state) => sql`${state}`),
    sql`, `,
  );
  const { changed, row, look } = await chain(db, {
    // Removing `production` makes a released version approved again, from which the change below starts.
    ...(step.ends && { drop: dropAliases(c, sql`${fit} and v.state in (${from})`, step.to) }),
    changed: db
      .update(modelVersion)
      .set({ ...step.set, state: step.to, version: sql`version + 1`, updatedAt: now })
      .where(
        sql`state in (${from}) and id in (select v.id from ${versionWithEvidence} where ${fit})`,
      )
      .returning({ id: modelVersion.id }),
    noted: noteChange(db, c.var.auth, "changed", step.action, modelIdOf(ref.name), {
      model: ref.name,
      version: ref.number,
      ...(step.reason && { reason: step.reason }),
    }),
    ...step.after,
    row: selectVersions(db, hasNumber(ref.name, ref.number)),
    look: db.all<{ may: number; failed: string }>(
      sql`select ${step.may} as may, ${failed} as failed from ${versionWithEvidence} where ${isVersion(ref)}`,
    ),
  });
  const [found] = row;
  const [seen] = look;
  if (!found || !seen) throw noVersion(ref.name, ref.number);
  if (changed.length) {
    if (step.after && "event" in step.after) tellLater(c);
    return toVersion(found);
  }
  if (!seen.may && step.own === "forbidden") throw refuse("own-version", {});
  if (!seen.may) throw notFound("own-version", { version: ref.number, model: found.model });
  if (!step.from.includes(found.state))
    throw refuse(
      "wrong-state",
      {
        case: "step",
        version: ref.number,
        model: found.model,
        state: found.state,
        from: step.from.join(" or "),
        to: step.to,
      },
      { extra: { current_state: found.state } },
    );
  throw refuseFailedChecks(seen.failed);
}

/**
 * The version as it is now, with its bytes still in the bucket; where the Worker may hash whole files, this
 * proves that they have its SHA-256. Throws ApiError 404, 409.
 */
export async function findWhole(c: Context<App>, { name, number }: Ref) {
  const { db, config } = c.var;
  const [row] = await selectVersions(db, hasNumber(name, number));
  if (!row) throw noVersion(name, number);
  await requireBytes(c, row);
  if (!config.VERIFY_BY_STREAMING || row.verified === "sha256" || !row.object) return row;
  const found = await hashObject(storeOf(c), row.object.objectKey);
  if (found !== row.sha256)
    throw refuseFailedChecks(JSON.stringify([{ check: "sha256", wanted: row.sha256, found }]));
  await noteVerified(db, row.row.objectId);
  return row;
}

/** Submits a draft for review. Throws ApiError 404, 409. */
export async function submit(c: Context<App>, ref: Ref) {
  await findWhole(c, ref);
  return advance(c, ref, {
    from: ["draft"],
    to: "in_review",
    action: "model.submit",
    set: {
      submittedBy: c.var.auth.userId,
      submittedAt: now,
      submittedChecks: sql`(select m.checks from model m where m.id = model_id)`,
    },
    may: madeByCaller(c),
    checked: true,
    after: {
      event: ifChanged("noted", (changed) =>
        recordEvent(
          c.var.db,
          "approval_requested",
          "model",
          // A withdrawn version may be submitted again: its row's version distinguishes the two events.
          sql`select m.id, 0, v.user_id, t.experiment_group, m.name,
                  json_object('version', v.number, 'submitted_by', ${c.var.auth.userName}), v.number || '.' || v.version
                from ${versionWithEvidence} where v.id = ${idOf(ref, changed)}`,
        ),
      ),
    },
  });
}

/** Takes a version back from review. Throws ApiError 404, 409. */
export const withdraw = (c: Context<App>, ref: Ref) =>
  advance(c, ref, {
    from: ["in_review"],
    to: "draft",
    action: "model.withdraw",
    set: { submittedBy: null, submittedAt: null, submittedChecks: null },
    may: madeByCaller(c),
  });

/** Gives up a draft. Throws ApiError 404, 409. */
export const discard = (c: Context<App>, ref: Ref) =>
  advance(c, ref, {
    from: ["draft"],
    to: "retired",
    action: "model.discard",
    may: madeByCaller(c),
    ends: true,
  });

/** Lets `production` name an approved version. Throws ApiError 403, 404, 409, 412. */
export async function release(c: Context<App>, ref: Ref, reason: string | null) {
  const { row } = await findWhole(c, ref);
  const { moved } = await move(c, {
    name: ref.name,
    alias: PRODUCTION,
    version: ref.number,
    target: sql`${row.id}`,
    reason,
  });
  if (!moved)
    throw refuse(
      "wrong-state",
      { case: "released", version: ref.number },
      { extra: { current_state: "released" } },
    );
  const [after] = await selectVersions(c.var.db, hasNumber(ref.name, ref.number));
  if (!after) throw noVersion(ref.name, ref.number);
  return toVersion(after);
}

/** Retires a version that was approved. Throws ApiError 404, 409. */
export const retire = (c: Context<App>, ref: Ref, reason: string | null) =>
  advance(c, ref, {
    from: ["approved", "released"],
    to: "retired",
    action: "model.retire",
    may: sql`true`,
    reason,
    ends: true,
  });
