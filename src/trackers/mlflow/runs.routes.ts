import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { redactJson } from "../../platform/secrets/redact.ts";
import {
  checkResults,
  int64,
  invalid,
  name,
  namedRun,
  readBody,
  readQuery,
  runName,
  word,
} from "./body.ts";
import { beginRun } from "./create.ts";
import { runIdOf } from "./form.ts";
import { tagPair, tagsOf } from "./keys.ts";
import { infoOf, runOf, runStatuses } from "./record.ts";
import { searchRuns, viewTypes } from "./search.ts";
import { changeState, restoreRun, trashRun } from "./states.ts";
import { listName, placeIn, tokenOf } from "./token.ts";
import { readHeld, readRun, writeChange } from "./write.ts";

const MOST_RESULTS = 50_000;

export const runs = new Hono<App>()
  .post("/runs/create", allow("tasks:write", { box: true }), async (c) => {
    const body = await readBody(
      c,
      z.object({
        experiment_id: word.optional(),
        user_id: word.optional(),
        run_name: word.optional(),
        start_time: int64.optional(),
        tags: z.array(tagPair).max(1000).default([]),
      }),
    );
    const tags = tagsOf(body.tags);
    const named = tags["mlflow.runName"];
    if (body.run_name && named && body.run_name !== named)
      throw invalid(
        `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${body.run_name}', mlflow.runName='${named}').`,
      );
    const taskId = await beginRun(c, {
      experimentId: body.experiment_id ?? "0",
      user: body.user_id,
      name: body.run_name && redactJson({ name: body.run_name }, "").value.name,
      startTime: body.start_time,
      tags,
    });
    return c.json({ run: runOf(await readRun(c, runIdOf(taskId))) });
  })
  .get("/runs/get", allow("tasks:read", { box: true }), async (c) => {
    const runId = namedRun(readQuery(c, z.object(runName)));
    return c.json({ run: runOf(await readRun(c, runId)) });
  })
  .post("/runs/update", allow("tasks:write", { box: true }), async (c) => {
    const body = await readBody(
      c,
      z.object({
        ...runName,
        status: z.enum(runStatuses).optional(),
        end_time: int64.nullish(),
        run_name: word.optional(),
      }),
    );
    const runId = namedRun(body);
    const run = await readHeld(c, runId);
    if (body.run_name)
      await writeChange(c, run, {
        tags: tagsOf([{ key: "mlflow.runName", value: body.run_name }]),
      });
    await changeState(c, run, body.status, body.end_time ?? undefined);
    return c.json({ run_info: infoOf(await readRun(c, runId)) });
  })
  .post("/runs/delete", allow("tasks:write"), async (c) => {
    const { run_id: runId } = await readBody(c, z.object({ run_id: name }));
    await trashRun(c, await readHeld(c, runId, false));
    return c.json({});
  })
  .post("/runs/search", allow("tasks:read", { box: true }), async (c) => {
    const body = await readBody(
      c,
      z.object({
        experiment_ids: z.array(word).max(10_000).default([]),
        filter: z.string().nullish(),
        run_view_type: z.enum(viewTypes).default("ACTIVE_ONLY"),
        max_results: int64.default(1000),
        order_by: z.array(z.string()).default([]),
        page_token: z.string().nullish(),
      }),
    );
    checkResults(body.max_results, MOST_RESULTS);
    const search = {
      experimentIds: body.experiment_ids,
      filter: body.filter ?? "",
      order: body.order_by,
      view: body.run_view_type,
      limit: body.max_results,
    };
    const { limit: _, ...asked } = search;
    const list = await listName("runs", asked);
    const [newest, ...place] = placeIn(list, body.page_token ?? undefined) ?? [];
    const at = typeof newest === "number" ? { newest, place } : undefined;
    const { runs, next } = await searchRuns(c.var.db, c.var.auth, search, at);
    return c.json({
      runs,
      ...(next && { next_page_token: tokenOf(list, [next.newest, ...next.place]) }),
    });
  })
  .post("/runs/restore", allow("tasks:write"), async (c) => {
    const { run_id: runId } = await readBody(c, z.object({ run_id: name }));
    await restoreRun(c, await readHeld(c, runId, false));
    return c.json({});
  });
