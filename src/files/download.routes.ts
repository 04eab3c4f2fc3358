import { and, eq, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { weight } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { flag, idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { selectById } from "./answers.ts";
import { storeOf } from "./bucket/open.ts";
import { DOWNLOAD_URL_SEC } from "./bucket/store.ts";
import { handedTo } from "./uploaders.ts";

/** The name of a run's packed console; the client gives it, once for each attempt. */
const CONSOLE_LOG = "console.log.gz";
/** Bytes of a packed console that the service hands on itself; a longer one is downloaded by its signed URL. */
const MOST_CONSOLE_BYTES = 64_000_000;

const download = new Hono<App>().get(
  "/:id/download",
  describe({
    summary: "Download a weight",
    description:
      "302 to a signed URL that works for minutes. With `redirect=false` the URL as JSON: urllib and wget would send the key along with a redirect.",
    tag: "Weights",
    answer: {
      schema: z.object({
        url: z.string(),
        expires_at: z.string(),
        sha256: z.string(),
        size: z.int(),
      }),
      description: "With `redirect=false`.",
    },
    errors: {
      302: "To the signed URL.",
      404: "No such weight.",
      409: "The file is not complete.",
    },
  }),
  allow("weights:read", { box: true }),
  validate("param", idParam),
  validate("query", z.strictObject({ redirect: flag().default(true) })),
  async (c) => {
    const weightId = c.req.valid("param").id;
    const { auth, db } = c.var;
    const [row] = await selectById(db, weightId, and(readable(auth), handedTo(auth)));
    if (!row) throw notFound("weight", { id: weightId });
    if (row.state !== "complete")
      throw refuse(
        "not-complete",
        { filename: row.filename, state: row.state },
        { extra: { state: row.state } },
      );
    const expires = new Date(Date.now() + DOWNLOAD_URL_SEC * 1000);
    const { object, size, sha256, filename: name } = row;
    const url = await storeOf(c).signGet(
      { ...object, size },
      { name, mediaType: object.mediaType },
      expires,
    );
    c.header("Cache-Control", "no-store");
    return c.req.valid("query").redirect
      ? c.redirect(url)
      : c.json({ url, expires_at: expires.toISOString(), sha256, size });
  },
);

export const downloads = download.get(
  "/:id/console",
  describe({
    summary: "Read the whole console of an attempt",
    description: `The bytes of \`${CONSOLE_LOG}\` through the service itself, at most ${MOST_CONSOLE_BYTES.toLocaleString("en")} of them, so that a page can unpack them: a bucket's signed URL is another origin, which a page may not read.`,
    tag: "Weights",
    answer: { description: "The log, gzipped.", content: "application/gzip" },
    errors: {
      404: "No such weight, or the weight is no console's log.",
      409: "The file is not complete.",
      413: "The log is too long for the service to hand on.",
    },
  }),
  allow("weights:read"),
  validate("param", idParam),
  async (c) => {
    const { id } = c.req.valid("param");
    const { auth, db } = c.var;
    const isConsole = and(
      eq(weight.filename, CONSOLE_LOG),
      sql`${weight.kind} = 'state'`,
      readable(auth),
    );
    const [row] = await selectById(db, id, isConsole);
    if (!row) throw notFound("weight", { id });
    if (row.state !== "complete")
      throw refuse(
        "not-complete",
        { filename: row.filename, state: row.state },
        { extra: { state: row.state } },
      );
    if (row.size > MOST_CONSOLE_BYTES)
      throw refuse("too-large", { case: "console", limit: MOST_CONSOLE_BYTES, size: row.size });
    return c.body(await storeOf(c).stream(row.object.objectKey), 200, {
      "Content-Type": "application/gzip",
      "Content-Disposition": `attachment; filename="${CONSOLE_LOG}"`,
      "Content-Security-Policy": "sandbox; default-src 'none'",
      // The file of an id never changes.
      "Cache-Control": "private, max-age=3600",
    });
  },
);
