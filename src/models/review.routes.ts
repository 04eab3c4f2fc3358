import { and, desc, eq, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import { ifChanged } from "../platform/db/batch.ts";
import { modelVersion, versionStates } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { keepEvidence, keepSamples } from "./evidence.ts";
import { versionParam } from "./names.ts";
import { selectVersions, toVersion, versionAnswer } from "./queries.ts";
import {
  advance,
  discard,
  findWhole,
  hasNoPart,
  idOf,
  release,
  retire,
  submit,
  withdraw,
} from "./steps.ts";

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
    async (c) => c.json(await submit(c, c.req.valid("param"))),
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
    async (c) => c.json(await withdraw(c, c.req.valid("param"))),
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
      await discard(c, c.req.valid("param"));
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
      const reason = c.req.valid("json").reason ?? null;
      return c.json(await release(c, c.req.valid("param"), reason));
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
    async (c) => c.json(await retire(c, c.req.valid("param"), c.req.valid("json").reason ?? null)),
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
