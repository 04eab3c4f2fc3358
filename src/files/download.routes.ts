import { and } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import type { App } from "../platform/http/context.ts";
import { flag, idParam } from "../platform/http/params.ts";
import { notFound, refuse } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { selectById } from "./answers.ts";
import { storeOf } from "./bucket/open.ts";
import { DOWNLOAD_URL_SEC } from "./bucket/store.ts";
import { handedTo } from "./uploaders.ts";

export const downloads = new Hono<App>().get(
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
