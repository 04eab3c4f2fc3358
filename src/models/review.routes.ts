import { and, desc, eq, lt, type SQL, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { tellLater } from "../alerts/outbox.ts";
import { storeOf } from "../files/bucket/open.ts";
import { hashObject, noteVerified } from "../files/verify.ts";
import { noteChange } from "../platform/audit/note.ts";
import { unlessAdmin } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, ifChanged, type Part } from "../platform/db/batch.ts";
import { modelVersion, versionStates } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { recordEvent } from "../platform/events.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { dropAliases, move, PRODUCTION } from "./aliases.ts";
import { failedChecks, refuseFailedChecks, versionWithEvidence } from "./checks.ts";
import { keepEvidence, keepSamples } from "./evidence.ts";
import { nameKey, versionParam } from "./names.ts";
import { parties } from "./parties.ts";
import {
  hasNumber,
  modelIdOf,
  noVersion,
  requireBytes,
  selectVersions,
  toVersion,
  versionAnswer,
} from "./queries.ts";

type State = (typeof versionStates)[number];
type Ref = { name: string; number: number };

/** Condition that the caller made the version `v` or its model `m`, or is an admin. */
const madeByCaller = ({ var: { auth } }: Context<App>) =>
  unlessAdmin(auth, sql`${auth.userId} in (v.user_id, m.user_id)`);

/** Condition that the caller has no part in the version `v`. */
const hasNoPart = ({ var: { auth, config } }: Context<App>) =>
  config.ALLOW_SELF_APPROVAL ? sql`true` : sql`${auth.userId} not in (select id from (${parties}))`;

const isVersion = ({ name, number }: Ref) =>
  sql`m.name_key = ${nameKey(name)} and v.number = ${number}`;

/** The id of a version, or null where the statement before did not change it. */
const idOf = (ref: Ref, changed: SQL) =>
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
async function advance(c: Context<App>, ref: Ref, step: Step) {
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
async function findWhole(c: Context<App>, { name, number }: Ref) {
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

const answer = { schema: versionAnswer, description: "The version as it is now." };
const reason = z.string().trim().max(5000);

export const review = new Hono<App>()
  .post(
    "/:name/versions/:number/submit",
    describe({
      summary: "Submit a version for review",
      description:
        "The version must pass the model's checks; the refusal names each check that fails. The storage must have its bytes.",
      tag: "Models",
      answer,
      errors: {
        404: "No such version of yours.",
        409: "The version is not a draft, its checks fail, or its bytes are gone.",
      },
    }),
    allow("models:write"),
    validate("param", versionParam),
    async (c) => {
      const ref = c.req.valid("param");
      await findWhole(c, ref);
      return c.json(
        await advance(c, ref, {
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
        }),
      );
    },
  )
  .post(
    "/:name/versions/:number/withdraw",
    describe({
      summary: "Withdraw a version from review",
      tag: "Models",
      answer,
      errors: {
        404: "No such version of yours.",
        409: "The version is not in review.",
      },
    }),
    allow("models:write"),
    validate("param", versionParam),
    async (c) =>
      c.json(
        await advance(c, c.req.valid("param"), {
          from: ["in_review"],
          to: "draft",
          action: "model.withdraw",
          set: { submittedBy: null, submittedAt: null, submittedChecks: null },
          may: madeByCaller(c),
        }),
      ),
  )
  .delete(
    "/:name/versions/:number",
    describe({
      summary: "Give up a draft",
      description:
        "The draft becomes retired, and no other version gets its number. Its run and bytes may be deleted from then on.",
      tag: "Models",
      errors: {
        404: "No such version of yours.",
        409: "The version is not a draft: a reviewed version stays.",
      },
    }),
    allow("models:write"),
    validate("param", versionParam),
    async (c) => {
      await advance(c, c.req.valid("param"), {
        from: ["draft"],
        to: "retired",
        action: "model.discard",
        may: madeByCaller(c),
        ends: true,
      });
      return c.body(null, 204);
    },
  )
  .post(
    "/:name/versions/:number/approve",
    describe({
      summary: "Approve a version",
      description:
        "The approver must not have trained, uploaded or submitted the version. It must pass the checks of its submission and the current ones. The service keeps the evidence as it is now: hash (and whether it was verified or only announced), figures, samples, data, licence, checks and their changes, reviewer and reason. From then on nothing deletes the version's bytes.",
      tag: "Models",
      answer,
      errors: {
        403: "The key lacks models:approve, or its user has a part in the version.",
        404: "No such version.",
        409: "The version is not in review, its checks fail, or its bytes are gone.",
      },
    }),
    allow("models:approve"),
    validate("param", versionParam),
    validate("json", z.strictObject({ reason: reason.nullish() })),
    async (c) => {
      const ref = c.req.valid("param");
      const why = c.req.valid("json").reason ?? null;
      await findWhole(c, ref);
      const decided = { decision: "approved", reason: why } as const;
      return c.json(
        await advance(c, ref, {
          from: ["in_review"],
          to: "approved",
          action: "model.approve",
          set: { approvedAt: now },
          may: hasNoPart(c),
          own: "forbidden",
          checked: true,
          reason: why,
          after: {
            evidence: ifChanged("noted", (changed) => keepEvidence(c, idOf(ref, changed), decided)),
            samples: ifChanged("evidence", (kept) => keepSamples(c.var.db, idOf(ref, kept))),
          },
        }),
      );
    },
  )
  .post(
    "/:name/versions/:number/reject",
    describe({
      summary: "Reject a version",
      description: "Takes a reason. The same weight may become a new version later.",
      tag: "Models",
      answer,
      errors: {
        403: "The key lacks models:approve, or its user has a part in the version.",
        404: "No such version.",
        409: "The version is not in review.",
      },
    }),
    allow("models:approve"),
    validate("param", versionParam),
    validate("json", z.strictObject({ reason: reason.min(1, "say why") })),
    async (c) => {
      const ref = c.req.valid("param");
      const why = c.req.valid("json").reason;
      const decided = { decision: "rejected", reason: why } as const;
      return c.json(
        await advance(c, ref, {
          from: ["in_review"],
          to: "rejected",
          action: "model.reject",
          may: hasNoPart(c),
          own: "forbidden",
          reason: why,
          ends: true,
          after: {
            evidence: ifChanged("noted", (changed) => keepEvidence(c, idOf(ref, changed), decided)),
          },
        }),
      );
    },
  )
  .post(
    "/:name/versions/:number/release",
    describe({
      summary: "Release a version",
      description:
        "Lets `production` name the version. The version that was in production becomes approved again, and a rollback brings it back.",
      tag: "Models",
      answer,
      errors: {
        403: "The key lacks models:release.",
        404: "No such version.",
        409: "The version is not approved, it is released already, or its bytes are gone.",
        412: "Someone moved `production` since it was read (If-Match: the alias's ETag).",
      },
    }),
    allow("models:release"),
    validate("param", versionParam),
    validate("json", z.strictObject({ reason: reason.nullish() })),
    async (c) => {
      const ref = c.req.valid("param");
      const { row } = await findWhole(c, ref);
      const { moved } = await move(c, {
        name: ref.name,
        alias: PRODUCTION,
        version: ref.number,
        target: sql`${row.id}`,
        reason: c.req.valid("json").reason ?? null,
      });
      if (!moved)
        throw refuse(
          "wrong-state",
          { case: "released", version: ref.number },
          { extra: { current_state: "released" } },
        );
      const [after] = await selectVersions(c.var.db, hasNumber(ref.name, ref.number));
      if (!after) throw noVersion(ref.name, ref.number);
      return c.json(toVersion(after));
    },
  )
  .post(
    "/:name/versions/:number/retire",
    describe({
      summary: "Retire a version",
      description:
        "Removes the version's aliases, `production` too. Its evidence, its run and its bytes stay.",
      tag: "Models",
      answer,
      errors: {
        403: "The key lacks models:release.",
        404: "No such version.",
        409: "The version was never approved, or it is retired already.",
      },
    }),
    allow("models:release"),
    validate("param", versionParam),
    validate("json", z.strictObject({ reason: reason.nullish() })),
    async (c) =>
      c.json(
        await advance(c, c.req.valid("param"), {
          from: ["approved", "released"],
          to: "retired",
          action: "model.retire",
          may: sql`true`,
          reason: c.req.valid("json").reason ?? null,
          ends: true,
        }),
      ),
  );

/** Versions that wait for a decision, over all models. */
export const reviews = new Hono<App>().get(
  "/",
  describe({
    summary: "Versions of all models by state",
    tag: "Models",
    answer: {
      schema: pageAnswer(versionAnswer),
      description: "Newest first.",
    },
  }),
  allow("models:read"),
  validate(
    "query",
    z.strictObject({ ...pageQuery, state: z.enum(versionStates).default("in_review") }),
  ),
  async (c) => {
    const { limit, cursor, state } = c.req.valid("query");
    const before = cursor ? decodeCursor("reviews", cursor, z.tuple([z.int()]))[0] : undefined;
    const rows = await selectVersions(
      c.var.db,
      and(
        // The index on what is in review is found by its own words alone.
        state === "in_review"
          ? sql`model_version.state = 'in_review'`
          : eq(modelVersion.state, state),
        before === undefined ? undefined : lt(modelVersion.id, before),
      ),
    )
      .orderBy(desc(modelVersion.id))
      .limit(limit + 1);
    const { items, next_cursor } = page(rows, limit, (last) =>
      encodeCursor("reviews", [last.row.id]),
    );
    return c.json({ items: items.map(toVersion), next_cursor });
  },
);
