import { Hono } from "hono";
import * as z from "zod";
import { allow } from "../../platform/auth/middleware.ts";
import type { App } from "../../platform/http/context.ts";
import { redactJson } from "../../platform/secrets/redact.ts";
import { checkResults, int64, invalid, name, readBody, readQuery, word } from "./body.ts";
import {
  createExperiment,
  deleteExperiment,
  experimentById,
  experimentByName,
  MOST_NAME,
  renameExperiment,
  restoreExperiment,
  setExperimentTag,
} from "./experiments.ts";
import { MlflowError } from "./form.ts";
import { tagPair, tagsOf } from "./keys.ts";
import { viewTypes } from "./search.ts";
import { searchExperiments } from "./search-experiments.ts";

const MOST_RESULTS = 50_000;
/** How many experiments there are by default, as MLflow's clients ask for. */
const RESULTS = 1000;

const newName = name.superRefine((text, ctx) => {
  if (text.length > MOST_NAME)
    ctx.addIssue({
      code: "custom",
      message: `'name' exceeds the maximum length of ${MOST_NAME} characters`,
    });
});
const withoutSecrets = (text: string) => redactJson({ text }, "").value.text;

const searchBody = z.object({
  max_results: int64.default(RESULTS),
  page_token: z.string().nullish(),
  filter: z.string().nullish(),
  order_by: z.array(z.string()).default([]),
  view_type: z.enum(viewTypes).default("ACTIVE_ONLY"),
});

export const experiments = new Hono<App>()
  .post("/experiments/create", allow("tasks:write", { box: true }), async (c) => {
    const body = await readBody(
      c,
      z.object({
        name: newName,
        artifact_location: z.string().nullish(),
        tags: z.array(tagPair).max(100).default([]),
      }),
    );
    const id = await createExperiment(c, withoutSecrets(body.name).trim(), tagsOf(body.tags));
    return c.json({ experiment_id: String(id) });
  })
  .get("/experiments/get", allow("tasks:read", { box: true }), async (c) => {
    const { experiment_id: id } = readQuery(c, z.object({ experiment_id: name }));
    return c.json({ experiment: await experimentById(c, id) });
  })
  .get("/experiments/get-by-name", allow("tasks:read", { box: true }), async (c) => {
    const { experiment_name: asked } = readQuery(c, z.object({ experiment_name: name }));
    const found = await experimentByName(c, asked);
    if (!found)
      throw new MlflowError(
        "RESOURCE_DOES_NOT_EXIST",
        `Could not find experiment with name '${asked.slice(0, 500)}'`,
      );
    return c.json({ experiment: found });
  })
  .on(["GET", "POST"], "/experiments/search", allow("tasks:read", { box: true }), async (c) => {
    const body =
      c.req.method === "GET"
        ? readQuery(c, searchBody, ["order_by"])
        : await readBody(c, searchBody);
    checkResults(body.max_results, MOST_RESULTS);
    const { experiments: found, token } = await searchExperiments(c.var.db, {
      filter: body.filter ?? "",
      order: body.order_by,
      view: body.view_type,
      limit: body.max_results,
      token: body.page_token ?? undefined,
    });
    return c.json({ experiments: found, ...(token && { next_page_token: token }) });
  })
  .post("/experiments/update", allow("tasks:write"), async (c) => {
    const body = await readBody(c, z.object({ experiment_id: name, new_name: newName.optional() }));
    if (body.new_name === undefined)
      throw invalid(
        "Missing value for required parameter 'new_name'. See the API docs for more information about request parameters.",
      );
    await renameExperiment(c, body.experiment_id, withoutSecrets(body.new_name).trim());
    return c.json({});
  })
  .post("/experiments/delete", allow("tasks:write"), async (c) => {
    const { experiment_id: id } = await readBody(c, z.object({ experiment_id: name }));
    await deleteExperiment(c, id);
    return c.json({});
  })
  .post("/experiments/restore", allow("tasks:write"), async (c) => {
    const { experiment_id: id } = await readBody(c, z.object({ experiment_id: name }));
    await restoreExperiment(c, id);
    return c.json({});
  })
  .post("/experiments/set-experiment-tag", allow("tasks:write"), async (c) => {
    const body = await readBody(
      c,
      z.object({ experiment_id: name, key: name, value: word.default("") }),
    );
    await setExperimentTag(c, body.experiment_id, tagsOf([body]));
    return c.json({});
  })
  .post("/experiments/delete-experiment-tag", allow("tasks:write"), async (c) => {
    const body = await readBody(c, z.object({ experiment_id: name, key: name }));
    await setExperimentTag(c, body.experiment_id, { [body.key]: null });
    return c.json({});
  });
