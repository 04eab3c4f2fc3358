import { sql } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { storeOf } from "../files/bucket/open.ts";
import { DOWNLOAD_URL_SEC } from "../files/bucket/store.ts";
import { allow } from "../platform/auth/middleware.ts";
import type { Db } from "../platform/db/client.ts";
import { model } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { flag } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { refParam } from "./names.ts";
import {
  modelIdOf,
  named,
  noVersion,
  numbered,
  requireBytes,
  requireSight,
  selectVersions,
  shaAnswer,
  toVersion,
  type VersionRow,
  versionAnswer,
} from "./queries.ts";

const atQuery = z
  .union([z.iso.datetime({ offset: true }), z.iso.date()])
  .transform((text) => new Date(text).toISOString())
  .optional()
  .describe("For an alias: where it was at that time, such as 2026-05-01T00:00:00Z.");

const refAnswer = versionAnswer.extend({
  alias: z.string().nullable(),
  since: z.string().nullable().describe("When the alias came to this version."),
  until: z.string().nullable().describe("When it went on; null: it is still here."),
});

/**
 * What a number or an alias names, now or at a time, with when the alias came and went: one round
 * trip. Throws ApiError 404.
 */
export async function resolve(db: Db, name: string, ref: string | number, at?: string) {
  const known = db.select({ id: model.id }).from(model).where(named(name));
  if (typeof ref === "number") {
    const [[found], [row]] = await db.batch([known, selectVersions(db, numbered(name, ref))]);
    if (!found) throw notFound("model", { id: name });
    if (!row) throw noVersion(name, ref);
    return { row, alias: null, since: null, until: null };
  }
  const moves = sql`from model_alias_move x where x.model_id = ${modelIdOf(name)} and x.alias = ${ref}`;
  const move = sql`(select x.id ${moves} ${at === undefined ? sql`` : sql`and x.at <= ${at}`} order by x.id desc limit 1)`;
  const [[found], [row], [times]] = await db.batch([
    known,
    selectVersions(
      db,
      sql`model_version.id = (select x.version_id from model_alias_move x where x.id = ${move})`,
    ),
    db.all<{ since: string; until: string | null }>(sql`
      select at as since, (select x.at ${moves} and x.id > m.id order by x.id limit 1) as until
      from model_alias_move m where m.id = ${move}`),
  ]);
  if (!found) throw notFound("model", { id: name });
  if (!row || !times)
    throw refuse(
      "not-found",
      at === undefined
        ? { case: "alias-ever", model: name, alias: ref }
        : { case: "alias-at", model: name, alias: ref, at },
    );
  return { row, alias: ref, ...times };
}

/** Whether a client has this very file already, by its If-None-Match. */
export const unchanged = (c: Context<App>, sha256: string) =>
  (c.req.header("If-None-Match") ?? "")
    .split(",")
    .some((tag) => tag.trim().replace(/^W\//, "") === `"${sha256}"`);

export const linkAnswer = z.object({
  url: z.string(),
  expires_at: z.string(),
  sha256: z.string(),
  sha256_is: shaAnswer,
  size: z.int(),
  filename: z.string(),
  model: z.string(),
  version: z.int(),
  state: z.string(),
});

/** A signed link to a version's file. */
export async function linkTo(c: Context<App>, row: VersionRow) {
  const { object, size, sha256, sha256_is, filename, version, state } = row;
  if (!object) throw new Error("a version without its object");
  const expires = new Date(Date.now() + DOWNLOAD_URL_SEC * 1000);
  const url = await storeOf(c).signGet(
    { ...object, size },
    { name: filename, mediaType: null },
    expires,
  );
  const expires_at = expires.toISOString();
  return { url, expires_at, sha256, sha256_is, size, filename, model: row.model, version, state };
}

export const redirectQuery = z.strictObject({ redirect: flag().default(true) });

/** What aliases and numbers name. Comes after the routes whose words are no aliases. */
export const downloads = new Hono<App>()
  .get(
    "/:name/:ref",
    describe({
      summary: "The version that an alias or a number names",
      description:
        "With `at`, the version that the alias named at that time: `GET /api/models/aki/production?at=2026-05-01T00:00:00Z` tells what was live.",
      tag: "Models",
      answer: { schema: refAnswer, description: "The version, and since when." },
      errors: { 404: "No such model or version, or the alias named none." },
    }),
    allow("models:read"),
    validate("param", refParam),
    validate("query", z.strictObject({ at: atQuery })),
    async (c) => {
      const { name, ref } = c.req.valid("param");
      const { row, ...when } = await resolve(c.var.db, name, ref, c.req.valid("query").at);
      return c.json({ ...toVersion(row), ...when });
    },
  )
  .get(
    "/:name/:ref/download",
    describe({
      summary: "Download a version's file",
      description:
        "302 to a signed URL that lasts minutes, or with `redirect=false` the URL as JSON. `ETag` is the file's SHA-256: with If-None-Match a nightly fetch of what has not changed is a 304. What was never approved takes weights:read too, or models:approve while it is in review.",
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
      const { row } = await resolve(c.var.db, name, ref);
      requireSight(c.var.auth, ["weights:read"], row);
      c.header("ETag", `"${row.sha256}"`);
      c.header("Cache-Control", "private, no-cache");
      if (unchanged(c, row.sha256)) return c.body(null, 304);
      await requireBytes(c, row);
      const link = await linkTo(c, row);
      return c.req.valid("query").redirect ? c.redirect(link.url) : c.json(link);
    },
  );
