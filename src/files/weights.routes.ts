import { and, desc, eq, lt, ne } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { readable } from "../platform/auth/access.ts";
import { allow } from "../platform/auth/middleware.ts";
import { weight, weightKinds, weightStates } from "../platform/db/schema.ts";
import type { App } from "../platform/http/context.ts";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "../platform/http/page.ts";
import { flag, idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, notValid, validate } from "../platform/http/validate.ts";
import { selectWeight, selectWeights, toAnswer, weightAnswer } from "./answers.ts";
import { handedTo } from "./uploaders.ts";

export const weights = new Hono<App>()
  .get(
    "/",
    describe({
      summary: "List weights",
      description:
        "Newest first, without `metadata`, and without given-up weights unless `state` asks for them.",
      tag: "Weights",
      answer: {
        schema: pageAnswer(weightAnswer),
        description: "Weights.",
      },
    }),
    allow("weights:read", { box: true }),
    validate(
      "query",
      z.strictObject({
        task_id: z.coerce.number().int().positive().optional().describe("Required for box keys."),
        attempt: z.coerce.number().int().positive().optional(),
        kind: z.enum(weightKinds).optional(),
        state: z.enum(weightStates).optional(),
        deleted: flag().default(false).describe("true: weights in the trash instead of live ones."),
        ...pageQuery,
      }),
    ),
    async (c) => {
      const { task_id, attempt, kind, state, deleted, limit, cursor } = c.req.valid("query");
      const { db, auth } = c.var;
      if (auth.box && task_id === undefined)
        throw notValid([{ path: "task_id", message: "is required of box keys" }]);
      const before = cursor ? decodeCursor("weights", cursor, z.tuple([z.int()]))[0] : undefined;
      const rows = await selectWeights(
        db,
        and(
          readable(auth),
          handedTo(auth),
          task_id === undefined ? undefined : eq(weight.taskId, task_id),
          attempt === undefined ? undefined : eq(weight.attempt, attempt),
          kind === undefined ? undefined : eq(weight.kind, kind),
          state === undefined ? ne(weight.state, "aborted") : eq(weight.state, state),
          before === undefined ? undefined : lt(weight.id, before),
        ),
        { deleted },
      )
        .orderBy(desc(weight.id))
        .limit(limit + 1);
      return c.json(page(rows.map(toAnswer), limit, (last) => encodeCursor("weights", [last.id])));
    },
  )
  .get(
    "/:id",
    describe({
      summary: "One weight",
      description:
        "Includes the file's own metadata, and the settings in which the file differs from its task.",
      tag: "Weights",
      answer: { schema: weightAnswer, description: "The weight." },
      errors: { 404: "No such weight." },
    }),
    allow("weights:read", { box: true }),
    validate("param", idParam),
    async (c) => {
      const weightId = c.req.valid("param").id;
      const [row] = await selectWeight(
        c.var.db,
        and(eq(weight.id, weightId), readable(c.var.auth), handedTo(c.var.auth)),
      );
      if (!row) throw notFound("weight", { id: weightId });
      return c.json(toAnswer(row));
    },
  );
