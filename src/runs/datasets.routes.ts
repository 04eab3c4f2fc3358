import { and, eq, isNull, sql } from "drizzle-orm";
import { Hono } from "hono";
import * as z from "zod";
import { noteChange } from "../platform/audit/note.ts";
import { readable, reportable } from "../platform/auth/access.ts";
import { explainRoom, roomFor } from "../platform/auth/bounds.ts";
import { allow } from "../platform/auth/middleware.ts";
import { chain } from "../platform/db/batch.ts";
import { trainingTask } from "../platform/db/schema.ts";
import { now } from "../platform/db/time.ts";
import { toWire } from "../platform/db/wire.ts";
import type { App } from "../platform/http/context.ts";
import { idParam } from "../platform/http/params.ts";
import { notFound } from "../platform/http/problem.ts";
import { describe, validate } from "../platform/http/validate.ts";
import {
  datasetAnswer,
  datasetFacts,
  factsBytes,
  recordDatasets,
  selectDatasets,
} from "./dataset-facts.ts";

const answer = z.object({ datasets: z.array(datasetAnswer) });

export const datasets = new Hono<App>()
  .get(
    "/:id/datasets",
    describe({
      summary: "List the datasets of a task",
      tag: "Datasets",
      answer: { schema: answer, description: "Facts about the data the task was trained on." },
      errors: { 404: "No such task." },
    }),
    allow("tasks:read", { box: true }),
    validate("param", idParam),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth } = c.var;
      const {
        task: [task],
        rows,
      } = await chain(db, {
        task: db
          .select({ id: trainingTask.id })
          .from(trainingTask)
          .where(and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), readable(auth))),
        rows: selectDatasets(db, taskId),
      });
      if (!task) throw notFound("task", { id: taskId });
      return c.json({ datasets: rows.map(toWire) });
    },
  )
  .put(
    "/:id/datasets",
    describe({
      summary: "Add facts about datasets",
      description:
        "Adds or replaces the facts of the named datasets; other datasets of the task stay as they are.",
      tag: "Datasets",
      answer: { schema: answer, description: "All datasets of the task." },
      errors: {
        403: "`over-limit`: the run's user has reached a bound.",
        404: "You own no such task.",
        422: "The facts are not valid.",
      },
    }),
    allow("tasks:write", { box: true }),
    validate("param", idParam),
    validate("json", z.strictObject({ datasets: z.array(datasetFacts).min(1).max(50) }), [
      "datasets.tag_distribution",
    ]),
    async (c) => {
      const taskId = c.req.valid("param").id;
      const { db, auth, config } = c.var;
      const { datasets } = c.req.valid("json");
      const mine = and(
        eq(trainingTask.id, taskId),
        isNull(trainingTask.deletedAt),
        reportable(auth),
      );
      const more = {
        database_bytes: datasets.reduce((sum, facts) => sum + factsBytes(facts), 0),
      };
      const room = roomFor(config, sql`training_task.user_id`, more);
      const statements = await recordDatasets(
        db,
        sql`(select id from training_task where ${mine} and ${room})`,
        datasets,
      );
      // The bytes of its facts are subtracted before and added after, so that the sum is right either way.
      const taken = sql`(
        select coalesce(sum(500 + coalesce(octet_length(d.tag_distribution), 0)), 0)
        from task_dataset l join dataset d on d.id = l.dataset_id where l.task_id = training_task.id)`;
      const {
        takenOff: [task],
        rows,
      } = await chain(db, {
        takenOff: db
          .update(trainingTask)
          .set({ updatedAt: now, recordBytes: sql`max(0, record_bytes - ${taken})` })
          .where(and(mine, room))
          .returning({ id: trainingTask.id }),
        noted: noteChange(db, auth, "takenOff", "task.datasets", taskId, {
          names: datasets.map((facts) => facts.name),
        }),
        facts: statements,
        putBack: db
          .update(trainingTask)
          .set({ recordBytes: sql`record_bytes + ${taken}` })
          .where(and(mine, room)),
        rows: selectDatasets(db, taskId),
      });
      if (!task) {
        const owner = sql`(select user_id from training_task where ${mine})`;
        const full = await explainRoom(db, config, owner, more);
        if (full) throw full;
      }
      if (!task) throw notFound("own-task", { id: taskId });
      return c.json({ datasets: rows.map(toWire) });
    },
  );
