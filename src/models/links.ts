import { sql } from "drizzle-orm";
import type { Context } from "hono";
import * as z from "zod";
import { storeOf } from "../files/bucket/open.ts";
import { DOWNLOAD_URL_SEC } from "../files/bucket/store.ts";
import { chain } from "../platform/db/batch.ts";
import type { Db } from "../platform/db/client.ts";
import { model } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { flag } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import {
  hasName,
  hasNumber,
  modelIdOf,
  noVersion,
  selectVersions,
  shaAnswer,
  type VersionRow,
} from "./queries.ts";

/**
 * The version that a number or an alias names, now or at a time, and when the alias moved there and away:
 * one round trip. Throws ApiError 404.
 */
export async function resolveRef(db: Db, name: string, ref: string | number, at?: string) {
  const known = db.select({ id: model.id }).from(model).where(hasName(name));
  if (typeof ref === "number") {
    const { models, versions } = await chain(db, {
      models: known,
      versions: selectVersions(db, hasNumber(name, ref)),
    });
    const [row] = versions;
    if (!models.length) throw notFound("model", { id: name });
    if (!row) throw noVersion(name, ref);
    return { row, alias: null, since: null, until: null };
  }
  const moves = sql`from model_alias_move x where x.model_id = ${modelIdOf(name)} and x.alias = ${ref}`;
  const move = sql`(select x.id ${moves} ${at === undefined ? sql`` : sql`and x.at <= ${at}`} order by x.id desc limit 1)`;
  const { models, versions, stays } = await chain(db, {
    models: known,
    versions: selectVersions(
      db,
      sql`model_version.id = (select x.version_id from model_alias_move x where x.id = ${move})`,
    ),
    stays: db.all<{ since: string; until: string | null }>(sql`
      select at as since, (select x.at ${moves} and x.id > m.id order by x.id limit 1) as until
      from model_alias_move m where m.id = ${move}`),
  });
  const [row] = versions;
  const [times] = stays;
  if (!models.length) throw notFound("model", { id: name });
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
export const hasFile = (c: Context<App>, sha256: string) =>
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
  const { object, size, sha256, filename } = row;
  if (!object) throw new Error("a version without its object");
  const expires = new Date(Date.now() + DOWNLOAD_URL_SEC * 1000);
  const url = await storeOf(c).signGet(
    { ...object, size },
    { name: filename, mediaType: null },
    expires,
  );
  const { sha256Is, model, version, state } = row;
  const expiresAt = expires.toISOString();
  return toWire({ url, expiresAt, sha256, sha256Is, size, filename, model, version, state });
}

export const redirectQuery = z.strictObject({ redirect: flag().default(true) });
