import { and, desc, eq, isNull, lt, sql } from "drizzle-orm";
import { Hono } from "hono";
import { base64url } from "jose";
import * as z from "zod";
import { noteChange } from "../platform/audit/note.ts";
import { countFailure } from "../platform/auth/limits.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { model, modelShare } from "../platform/db/schema.ts";
import { fromNow, now } from "../platform/db/time.ts";
import { toWire } from "../platform/db/wire.ts";
import { baseUrl } from "../platform/http/base-url.ts";
import type { App } from "../platform/http/context.ts";
import { sha256Hex } from "../platform/http/hash.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { neededVerification, verifiedFor } from "./checks.ts";
import { hasFile, linkAnswer, linkTo, redirectQuery, resolveRef } from "./links.ts";
import { aliasName, modelName, modelParam } from "./names.ts";
import { hasName, modelIdOf, requireBytes, selectVersions } from "./queries.ts";

const shareAnswer = z
  .object({
    id: z.int(),
    target: z.string().describe("The alias or the version's number."),
    label: z.string().nullable(),
    created_by: z.string(),
    created_at: z.string(),
    expires_at: z.string(),
    revoked_at: z.string().nullable(),
    max_downloads: z.int().nullable(),
    downloads: z.int(),
    last_download_at: z.string().nullable(),
  })
  .meta({ id: "Share" });

const columns = {
  id: modelShare.id,
  target: sql<string>`coalesce(model_share.alias, (select v.number || '' from model_version v where v.id = model_share.version_id))`,
  label: modelShare.label,
  createdBy: sql<string>`(select name from user where user.id = model_share.user_id)`,
  createdAt: modelShare.createdAt,
  expiresAt: modelShare.expiresAt,
  revokedAt: modelShare.revokedAt,
  maxDownloads: modelShare.maxDownloads,
  downloads: modelShare.downloads,
  lastDownloadAt: modelShare.lastDownloadAt,
};

/** Whether a version (v, with its object o) may go out to anyone. */
const fitToShare = sql`v.state in ('approved', 'released') and o.state = 'complete' and ${verifiedFor("share")}`;

const newToken = () => base64url.encode(crypto.getRandomValues(new Uint8Array(32)));

export const shares = new Hono<App>()
  .post(
    "/:name/shares",
    describe({
      summary: "Make a public link",
      description: `Anyone with the link can download the version that it names, without a key, until the link expires or is revoked. Only approved versions whose files were verified by at least \`${neededVerification.share}\` can be shared: a link to an alias gives nothing while the alias names another version. \`parts\` does not prove the SHA-256, which is then the one that the uploader announced (\`sha256_is\`).`,
      tag: "Models",
      answer: {
        schema: shareAnswer.extend({
          url: z.string().describe("The link. Only this answer shows it."),
        }),
        description: "The link.",
      },
      errors: {
        404: "No such model, version or alias.",
        409: "The version is not approved or not verified well enough.",
      },
    }),
    allow("models:release"),
    validate("param", modelParam),
    validate(
      "json",
      z.strictObject({
        target: z
          .union([z.int().positive(), aliasName])
          .describe(
            "A version's number, or an alias: the link then gives the version that the alias names at the time of the download.",
          ),
        days: z.number().positive().max(365).default(7),
        max_downloads: z.int().positive().nullish(),
        label: z.string().trim().max(200).nullish(),
      }),
    ),
    async (c) => {
      const { name } = c.req.valid("param");
      const { target, days, max_downloads, label } = c.req.valid("json");
      const { db, auth } = c.var;
      const { row, alias } = await resolveRef(db, name, target);
      await requireBytes(c, row);
      const token = newToken();
      const tokenHash = await sha256Hex(token);
      const { made } = await chain(db, {
        inserted: db.run(sql`
          insert into model_share (model_id, alias, version_id, token_hash, label, user_id, max_downloads, expires_at)
          select v.model_id, ${alias}, iif(${alias} is null, v.id, null), ${tokenHash}, ${label ?? null}, ${auth.userId},
            ${max_downloads ?? null}, ${fromNow(days, "days")}
          from model_version v join stored_object o on o.id = v.object_id where v.id = ${row.row.id} and ${fitToShare}`),
        noted: noteChange(db, auth, "inserted", "model.share", modelIdOf(name), {
          model: row.model,
          target,
          days,
        }),
        made: db.select(columns).from(modelShare).where(eq(modelShare.tokenHash, tokenHash)),
      });
      const [share] = made;
      if (!share)
        throw refuse(
          "not-fit-to-share",
          {
            case: "version",
            version: row.version,
            state: row.state,
            verified: String(row.verified),
            needed: neededVerification.share,
          },
          { extra: { current_state: row.state } },
        );
      return c.json({
        ...toWire(share),
        url: `${baseUrl(c.var.config, c.req.url)}/share/${token}`,
      });
    },
  )
  .get(
    "/:name/shares",
    describe({
      summary: "A model's public links",
      description: "The list never contains the links themselves.",
      tag: "Models",
      answer: {
        schema: pageAnswer(shareAnswer),
        description: "Newest first, including those that ended.",
      },
      errors: { 404: "No such model." },
    }),
    allow("models:read"),
    validate("param", modelParam),
    validate("query", z.strictObject(pageQuery)),
    async (c) => {
      const { name } = c.req.valid("param");
      const { limit, cursor } = c.req.valid("query");
      const { db } = c.var;
      const before = cursor ? decodeCursor("shares", cursor, z.tuple([z.int()]))[0] : undefined;
      const { known, rows } = await chain(db, {
        known: db.select({ id: model.id }).from(model).where(hasName(name)),
        rows: db
          .select(columns)
          .from(modelShare)
          .where(
            and(
              eq(modelShare.modelId, modelIdOf(name)),
              before === undefined ? undefined : lt(modelShare.id, before),
            ),
          )
          .orderBy(desc(modelShare.id))
          .limit(limit + 1),
      });
      if (!known.length) throw notFound("model", { id: name });
      return c.json(page(rows.map(toWire), limit, (last) => encodeCursor("shares", [last.id])));
    },
  )
  .delete(
    "/:name/shares/:id",
    describe({
      summary: "Revoke a public link",
      description: "Takes effect at once; a download that has begun continues.",
      tag: "Models",
      errors: { 404: "No such live link." },
    }),
    allow("models:release"),
    validate("param", z.object({ name: modelName, id: z.coerce.number().int().positive() })),
    async (c) => {
      const { name, id } = c.req.valid("param");
      const { db, auth } = c.var;
      const { revoked } = await chain(db, {
        revoked: db
          .update(modelShare)
          .set({ revokedAt: now })
          .where(
            and(
              eq(modelShare.id, id),
              eq(modelShare.modelId, modelIdOf(name)),
              isNull(modelShare.revokedAt),
            ),
          )
          .returning({ id: modelShare.id }),
        noted: noteChange(
          db,
          auth,
          "revoked",
          "model.revoke_share",
          sql`(select model_id from model_share where id = ${id})`,
          { model: name, share: id },
        ),
      });
      if (!revoked.length) throw notFound("live-link", { id: id, model: name });
      return c.body(null, 204);
    },
  );

/** Public links: the token in the path is the permission. */
export const share = new Hono<App>().get(
  "/:token",
  describe({
    summary: "Download by a public link",
    description:
      "302 to a signed URL, or with `redirect=false` the URL as JSON. Each signed URL counts as a download; a HEAD and a 304 (If-None-Match with the file's ETag) do not.",
    tag: "Signed URLs",
    open: true,
    answer: { schema: linkAnswer, description: "With `redirect=false`." },
    errors: {
      302: "To the signed URL.",
      304: "The file is the one that the caller has.",
      404: "No such link.",
      409: "The version that the link names is not approved, or its bytes are gone.",
      410: "The link has expired, was revoked, or has been used up.",
    },
  }),
  validate("param", z.object({ token: z.string().max(200) })),
  validate("query", redirectQuery),
  async (c) => {
    const { db } = c.var;
    const tokenHash = await sha256Hex(c.req.valid("param").token);
    c.header("Cache-Control", "private, no-cache");
    c.header("Referrer-Policy", "no-referrer");
    c.header("X-Robots-Tag", "noindex");
    const version = sql`coalesce(s.version_id, (select a.version_id from model_alias a where a.model_id = s.model_id and a.alias = s.alias))`;
    const live = sql`s.revoked_at is null and s.expires_at > ${now} and downloads < coalesce(max_downloads, downloads + 1)`;
    const { versions, links } = await chain(db, {
      versions: selectVersions(
        db,
        sql`model_version.id = (select ${version} from model_share s where s.token_hash = ${tokenHash})`,
      ),
      links: db.all<{ live: number; fit: number }>(sql`
        select ${live} as live, exists (select 1 from model_version v join stored_object o on o.id = v.object_id where v.id = ${version} and ${fitToShare}) as fit
        from model_share s where s.token_hash = ${tokenHash}`),
    });
    const [row] = versions;
    const [found] = links;
    if (!found) throw await countFailure(c, notFound("link", {}));
    const ended = refuse("link-ended", {});
    if (!found.live) throw ended;
    if (!row || !found.fit) throw refuse("not-fit-to-share", { case: "link" });
    c.header("ETag", `"${row.sha256}"`);
    if (hasFile(c, row.sha256)) return c.body(null, 304);
    await requireBytes(c, row);
    if (c.req.method !== "HEAD") {
      // The condition again, so that of many who come at once no more than allowed get through.
      const { rowsAffected } = await db.run(
        sql`update model_share as s set downloads = downloads + 1, last_download_at = ${now} where token_hash = ${tokenHash} and ${live}`,
      );
      if (rowsAffected === 0) throw ended;
    }
    const link = await linkTo(c, row);
    return c.req.valid("query").redirect ? c.redirect(link.url) : c.json(link);
  },
);
