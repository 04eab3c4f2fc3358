import { and, desc, eq, lt, type SQL, sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { tellLater } from "../alerts/outbox.ts";
import { storeOf } from "../files/bucket/open.ts";
import { hashObject, noteVerified } from "../files/verify.ts";
import { audit } from "../platform/audit/audit.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain, type Statement } from "../platform/db/batch.ts";
import { modelVersion, versionStates } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { recordEvent } from "../platform/events.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { dropAliases, move, PRODUCTION } from "./aliases.routes.ts";
import { checksFail, failedChecks, versionWithEvidence } from "./checks.ts";
import { keepEvidence, keepSamples } from "./evidence.ts";
import { nameKey, versionParam } from "./names.ts";
import { parties } from "./parties.ts";
import {
  noVersion,
  numbered,
  requireBytes,
  selectVersions,
  toVersion,
  versionAnswer,
} from "./queries.ts";

type State = (typeof versionStates)[number];
type Ref = { name: string; number: number };

/** Condition that the caller made the version `v` or its model `m`, or is an admin. */
const theirs = ({ var: { auth } }: Context<App>) =>
  auth.role === "admin" ? sql`true` : sql`${auth.userId} in (v.user_id, m.user_id)`;

/** Condition that the caller has no part in the version `v`. */
const anothers = ({ var: { auth, config } }: Context<App>) =>
  config.ALLOW_SELF_APPROVAL ? sql`true` : sql`${auth.userId} not in (select id from (${parties}))`;

const meant = ({ name, number }: Ref) =>
  sql`m.name_key = ${nameKey(name)} and v.number = ${number}`;

/** The id of a version, for statements behind the one that changed it. */
const idOf = (ref: Ref) =>
  sql`(select v.id from model_version v join model m on m.id = v.model_id where ${meant(ref)} and changes() = 1)`;

type Step = {
  from: readonly State[];
  to: State;
  action: `model.${string}`;
  set?: object;
  /** Who may; others are told that it is not theirs, or that it must not be theirs. */
  may: SQL;
  own?: "forbidden";
  /** Whether the model's checks must hold. */
  checked?: boolean;
  reason?: string | null;
  /** Takes the version's aliases away first. */
  ends?: boolean;
  after?: Record<string, Statement>;
};

/** Lets a version go on to another state. Throws ApiError 403, 404, 409. */
async function advance(c: Context<App>, ref: Ref, step: Step) {
  const { db } = c.var;
  const failed = step.checked ? failedChecks : sql<string>`'[]'`;
  const fit = sql`${meant(ref)} and ${step.may} and ${failed} = '[]'`;
  const from = sql.join(
    step.from.map((state) => sql`${state}`),
    sql`, `,
  );
  const { changed, row, look } = await chain(db, {
    // Without `production` a released version is approved again, which the change below goes on from.
    ...(step.ends && { drop: dropAliases(c, sql`${fit} and v.state in (${from})`, step.to) }),
    changed: db
      .update(modelVersion)
      .set({ ...step.set, state: step.to, version: sql`version + 1`, updatedAt: now })
      .where(
        sql`state in (${from}) and id in (select v.id from ${versionWithEvidence} where ${fit})`,
      )
      .returning({ id: modelVersion.id }),
    audit: audit(
      db,
      c.var.auth,
      step.action,
      sql`select v.model_id as id from model_version v where v.id = ${idOf(ref)}`,
      {
        model: ref.name,
        version: ref.number,
        ...(step.reason && { reason: step.reason }),
      },
    ),
    ...step.after,
    row: selectVersions(db, numbered(ref.name, ref.number)),
    look: db.all<{ may: number; failed: string }>(
      sql`select ${step.may} as may, ${failed} as failed from ${versionWithEvidence} where ${meant(ref)}`,
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
  throw checksFail(seen.failed);
}

/**
 * The version as it stands, with its bytes still there; where the Worker may hash whole files, they are
 * proven to be those of its SHA-256. Throws ApiError 404, 409.
 */
async function findWhole(c: Context<App>, { name, number }: Ref) {
  const { db, config } = c.var;
  const [row] = await selectVersions(db, numbered(name, number));
  if (!row) throw noVersion(name, number);
  await requireBytes(c, row);
  if (!config.VERIFY_BY_STREAMING || row.verified === "sha256" || !row.object) return row;
  const found = await hashObject(storeOf(c), row.object.objectKey);
  if (found !== row.sha256)
    throw checksFail(JSON.stringify([{ check: "sha256", wanted: row.sha256, found }]));
  await noteVerified(db, row.row.objectId);
  return row;
}

const answer = { schema: versionAnswer, description: "The version as it is now." };
const reason = z.string().trim().max(5000);

export const review = new Hono<App>()
  .post(
    "/:name/versions/:number/submit",
    describe({
      summary: "Put a version up for review",
      description:
        "The model's checks must hold: they are told each by each where they do not. Its bytes must be in the storage.",
      tag: "Models",
      answer,
      errors: {
        404: "No such version of yours.",
        409: "It is no draft, its checks fail, or its bytes are gone.",
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
          may: theirs(c),
          checked: true,
          after: {
            event: recordEvent(
              c.var.db,
              "approval_requested",
              "model",
              // A version that was withdrawn is asked for again: its row's version tells the two apart.
              sql`select m.id, 0, v.user_id, t.experiment_group, m.name,
                  json_object('version', v.number, 'submitted_by', ${c.var.auth.userName}), v.number || '.' || v.version
                from ${versionWithEvidence} where v.id = ${idOf(ref)}`,
            ),
          },
        }),
      );
    },
  )
  .post(
    "/:name/versions/:number/withdraw",
    describe({
      summary: "Take a version back from review",
      tag: "Models",
      answer,
      errors: {
        404: "No such version of yours.",
        409: "It is not in review.",
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
          may: theirs(c),
        }),
      ),
  )
  .delete(
    "/:name/versions/:number",
    describe({
      summary: "Give a draft up",
      description:
        "It is retired; its number is not given again. Its run and bytes may go from then on.",
      tag: "Models",
      errors: {
        404: "No such version of yours.",
        409: "It is no draft: what was reviewed stays.",
      },
    }),
    allow("models:write"),
    validate("param", versionParam),
    async (c) => {
      await advance(c, c.req.valid("param"), {
        from: ["draft"],
        to: "retired",
        action: "model.discard",
        may: theirs(c),
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
        "By somebody who neither trained, uploaded nor submitted it. The checks of the submission and those of now must hold. Keeps the evidence as it is now: hash (and whether it was verified or only announced), figures, samples, data, licence, checks and their changes, reviewer and reason. From then on nothing takes its bytes away.",
      tag: "Models",
      answer,
      errors: {
        403: "The key lacks models:approve, or its user has a part in the version.",
        404: "No such version.",
        409: "It is not in review, its checks fail, or its bytes are gone.",
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
          may: anothers(c),
          own: "forbidden",
          checked: true,
          reason: why,
          after: {
            evidence: keepEvidence(c, idOf(ref), decided),
            samples: keepSamples(c.var.db, idOf(ref)),
          },
        }),
      );
    },
  )
  .post(
    "/:name/versions/:number/reject",
    describe({
      summary: "Reject a version",
      description: "With a reason. The same weight may become a new version later.",
      tag: "Models",
      answer,
      errors: {
        403: "The key lacks models:approve, or its user has a part in the version.",
        404: "No such version.",
        409: "It is not in review.",
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
          may: anothers(c),
          own: "forbidden",
          reason: why,
          ends: true,
          after: { evidence: keepEvidence(c, idOf(ref), decided) },
        }),
      );
    },
  )
  .post(
    "/:name/versions/:number/release",
    describe({
      summary: "Release a version",
      description:
        "Lets `production` name it. The version that was in production is approved again, and a rollback brings it back.",
      tag: "Models",
      answer,
      errors: {
        403: "The key lacks models:release.",
        404: "No such version.",
        409: "It is not approved, it is released already, or its bytes are gone.",
        412: "`production` was moved since it was read (If-Match: the alias's ETag).",
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
      const [after] = await selectVersions(c.var.db, numbered(ref.name, ref.number));
      if (!after) throw noVersion(ref.name, ref.number);
      return c.json(toVersion(after));
    },
  )
  .post(
    "/:name/versions/:number/retire",
    describe({
      summary: "Retire a version",
      description:
        "Its aliases are taken away, `production` too. Its evidence, its run and its bytes stay.",
      tag: "Models",
      answer,
      errors: {
        403: "The key lacks models:release.",
        404: "No such version.",
        409: "It was never approved, or is retired already.",
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

/** What waits for a decision, over all models. */
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
