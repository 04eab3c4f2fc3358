import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../platform/auth/middleware.ts";
import type { App } from "../platform/http/context.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { hasFile, linkAnswer, linkTo, redirectQuery, resolveRef } from "./links.ts";
import { refParam } from "./names.ts";
import { requireBytes, requireSight, toVersion, versionAnswer } from "./queries.ts";

const atQuery = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()])
  .transform((text) => new Date(text).toISOString())
  .optional()
  .describe("For an alias: the time of which to give the version, such as 2026-05-01T00:00:00Z.");

const refAnswer = versionAnswer.extend({
  alias: z.string().nullable(),
  since: z.string().nullable().describe("When the alias moved to this version."),
  until: z
    .string()
    .nullable()
    .describe("When the alias moved away; null: it still names this version."),
});

/** What aliases and numbers name. Comes after the routes whose words are no aliases. */
export const downloads = new Hono<App>()
  .get(
    "/:name/:ref",
    describe({
      summary: "The version that an alias or a number names",
      description:
        "With `at`, the version that the alias named at that time: `GET /api/models/aki/production?at=2026-05-01T00:00:00Z` gives the version that was live.",
      tag: "Models",
      answer: { schema: refAnswer, description: "The version, and since when." },
      errors: { 404: "No such model or version, or the alias named none." },
    }),
    allow("models:read"),
    validate("param", refParam),
    validate("query", z.strictObject({ at: atQuery })),
    async (c) => {
      const { name, ref } = c.req.valid("param");
      const { row, ...when } = await resolveRef(c.var.db, name, ref, c.req.valid("query").at);
      return c.json({ ...toVersion(row), ...when });
    },
  )
  .get(
    "/:name/:ref/download",
    describe({
      summary: "Download a version's file",
      description:
        "302 to a signed URL that works for minutes, or with `redirect=false` the URL as JSON. `ETag` is the file's SHA-256: with If-None-Match a nightly fetch of an unchanged file is a 304. A version that was never approved takes weights:read too, or models:approve while it is in review.",
      tag: "Models",
      answer: { schema: linkAnswer, description: "With `redirect=false`." },
      errors: {
        302: "To the signed URL.",
        304: "The file is the one that the caller has.",
        403: "The version was never approved, and the key lacks weights:read.",
        404: "No such model or version, or the alias names none.",
        409: "Its bytes are gone.",
      },
    }),
    allow("models:read"),
    validate("param", refParam),
    validate("query", redirectQuery),
    async (c) => {
      const { name, ref } = c.req.valid("param");
      const { row } = await resolveRef(c.var.db, name, ref);
      requireSight(c.var.auth, ["weights:read"], row);
      c.header("ETag", `"${row.sha256}"`);
      c.header("Cache-Control", "private, no-cache");
      if (hasFile(c, row.sha256)) return c.body(null, 304);
      await requireBytes(c, row);
      const link = await linkTo(c, row);
      return c.req.valid("query").redirect ? c.redirect(link.url) : c.json(link);
    },
  );
