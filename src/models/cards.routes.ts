import { Hono } from "hono";
import * as z from "zod";
import { storeOf } from "../files/bucket/open.ts";
import { DOWNLOAD_URL_SEC } from "../files/bucket/store.ts";
import { allow } from "../platform/auth/middleware.ts";
import { model } from "../platform/db/schema.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { describe, validate } from "../platform/http/validate.ts";
import { baseModelOf, renderCard, triggerWords } from "./card.ts";
import { versionParam } from "./names.ts";
import { provenanceAnswer, readProvenance } from "./provenance.ts";
import { hasName, hasNumber, noVersion, requireSight } from "./queries.ts";

const fileName = (filename: string) => filename.slice(filename.lastIndexOf("/") + 1);

export const cards = new Hono<App>().get(
  "/:name/versions/:number/card",
  describe({
    summary: "A version as a model card",
    description:
      "Markdown below the front matter that model hubs read: base model, licence, tags, trigger words, samples with links that work for minutes. With `images=relative` the samples are `images/<file>`, for a folder that holds them; with `format=json` the card, the trigger words and the samples' links as JSON, for tools that write such a folder.",
    tag: "Models",
    answer: {
      description: "The card.",
      content: "text/markdown",
      json: z.object({
        card: z.string(),
        trigger_words: z.array(z.string()),
        base_model: z.string().nullable(),
        description: z.string().nullable(),
        samples: z.array(
          provenanceAnswer.shape.samples.element.extend({
            size: z.int(),
            file: z.string(),
            url: z.string(),
          }),
        ),
      }),
    },
    errors: {
      403: "The version was never approved, and the key lacks tasks:read or weights:read.",
      404: "No such version.",
    },
  }),
  allow("models:read"),
  validate("param", versionParam),
  validate(
    "query",
    z.strictObject({
      images: z.enum(["links", "relative"]).default("links"),
      format: z.enum(["markdown", "json"]).default("markdown"),
    }),
  ),
  async (c) => {
    const { name, number } = c.req.valid("param");
    const { images, format } = c.req.valid("query");
    const { db } = c.var;
    const [found, [about]] = await Promise.all([
      readProvenance(db, hasNumber(name, number)),
      db
        .select({
          name: model.name,
          description: model.description,
          taskType: model.taskType,
          tags: model.tags,
        })
        .from(model)
        .where(hasName(name)),
    ]);
    if (!found || !about) throw noVersion(name, number);
    requireSight(c.var.auth, ["tasks:read", "weights:read"], found.row);
    const store = storeOf(c);
    const expires = new Date(Date.now() + DOWNLOAD_URL_SEC * 1000);
    const samples = await Promise.all(
      found.samples
        .filter((sample) => sample.mediaType?.startsWith("image/"))
        .slice(0, 12)
        .map(async ({ objectKey, mediaType, ...sample }) => ({
          ...toWire(sample),
          // Two samples of one name in different folders stay apart by their ids.
          file: `images/${sample.weightId}-${fileName(sample.filename)}`,
          url: await store.signGet(
            { objectKey, size: sample.size },
            { name: sample.filename, mediaType },
            expires,
          ),
        })),
    );
    const imageUrls = new Map(
      samples.map((s) => [s.weight_id, images === "links" ? s.url : encodeURI(s.file)]),
    );
    const card = renderCard(found, about, imageUrls);
    c.header("Cache-Control", "private, no-store");
    if (format === "json")
      return c.json({
        card,
        trigger_words: triggerWords(found),
        base_model: baseModelOf(found),
        description: about.description,
        samples,
      });
    return c.body(card, 200, {
      "Content-Type": "text/markdown; charset=utf-8",
      "Content-Security-Policy": "sandbox",
    });
  },
);
