import { and, eq, isNull } from "drizzle-orm";
import { type Context, Hono } from "hono";
import * as z from "zod";
import { storeOf } from "../../files/bucket/open.ts";
import { DOWNLOAD_URL_SEC } from "../../files/bucket/store.ts";
import { findFile, listFolder, trashFolder } from "../../files/folder.ts";
import { MOST_PARTS } from "../../files/parts.ts";
import { receiveFile } from "../../files/receive.ts";
import { abortParts, completeParts, openParts } from "../../files/receive-parts.ts";
import { readable } from "../../platform/auth/access.ts";
import { allow } from "../../platform/auth/middleware.ts";
import { trainingTask } from "../../platform/db/schema.ts";
import type { App } from "../../platform/http/context.ts";
import { contentDisposition } from "../../platform/http/download.ts";
import { limitBody, validate } from "../../platform/http/validate.ts";
import { pointAtFinal } from "../../runs/states.ts";
import { MlflowError, mlflowProblem, runIdOf, taskOfRun } from "./form.ts";
import { requireMlflowKey } from "./key.ts";
import { kindOf } from "./kinds.ts";
import { experimentOf } from "./logged-models.ts";
import { filenameAt, type Place, pathBelow, placeOf, runOf } from "./places.ts";
import { entriesOf, readVersionFiles } from "./version-files.ts";

/** Entries of one folder that an answer holds: MLflow's form has no pages. */
const MOST_ENTRIES = 20_000;

const missing = (path: string) =>
  new MlflowError("RESOURCE_DOES_NOT_EXIST", `There is no artifact '${path.slice(0, 300)}'.`);

const readOnly = () =>
  new MlflowError(
    "INVALID_PARAMETER_VALUE",
    "The files of a registered version never change: log them to a run and register another version.",
  );

/** The place that the address of a request names below `after`. */
const placeIn = (c: Context<App>, after: string) => placeOf(pathBelow(c.req.url, after));

/** Where a file may be written. Throws MlflowError. */
async function target(c: Context<App>, place: Place) {
  if (place.kind === "version") throw readOnly();
  const run = await runOf(c.var.db, place);
  const filename = filenameAt(run);
  return { taskId: run.taskId, filename, ...kindOf(run.path) };
}

/** The stored file at a place. Throws ApiError, MlflowError 404. */
async function fileAt(c: Context<App>, place: Place) {
  const { db, auth } = c.var;
  const { path } = place;
  if (place.kind === "version") {
    const { files } = await readVersionFiles(c, place.name, place.number);
    const file = files.find((one) => one.path === path);
    if (!file) throw missing(path);
    return file;
  }
  const run = await runOf(db, place);
  const file = await findFile(db, auth, run.taskId, run.prefix + path);
  if (!file) throw missing(path);
  return file;
}

/** The entries of the folder at a place, their paths relative to it. */
async function entriesAt(c: Context<App>, place: Place) {
  const { db, auth } = c.var;
  const folder = place.path === "" ? "" : `${place.path}/`;
  let entries: { name: string; isFolder: boolean; size: number }[];
  if (place.kind === "version") {
    const { files } = await readVersionFiles(c, place.name, place.number);
    entries = entriesOf(files, folder);
  } else {
    const run = await runOf(db, place);
    entries = await listFolder(db, auth, {
      taskId: run.taskId,
      folder: run.prefix + folder,
      limit: MOST_ENTRIES + 1,
    });
  }
  if (entries.length > MOST_ENTRIES)
    throw new MlflowError(
      "INVALID_STATE",
      `The folder has more than ${MOST_ENTRIES} entries, which one answer of this protocol cannot hold; GET /api/weights pages through them.`,
    );
  return entries.map(({ name, isFolder, size }) => ({
    path: name,
    is_dir: isFolder,
    ...(!isFolder && { file_size: size }),
  }));
}

const text = (most: number) => z.string().min(1).max(most);

/** The file that a multipart call names: its folder in the address, and the base name of the client's path. */
async function namedByParts(c: Context<App>, step: string, path: string) {
  const folder = pathBelow(c.req.url, `/mpu/${step}/`).replace(/\/+$/, "");
  const base = path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
  return target(c, placeOf(`${folder}/${base}`));
}

const upload = { path: text(8000), upload_id: z.string().regex(/^[0-9a-f-]{36}$/) };

/** The folder of a run, by its id: what clients ask for that reach no artifacts by themselves. */
export const artifactLists = new Hono<App>()
  .onError(mlflowProblem)
  .use("/*", requireMlflowKey)
  .get(
    "/list",
    allow("weights:read", { box: true, also: ["tasks:read"] }),
    validate(
      "query",
      z.object({
        run_id: z.string().max(64).optional(),
        run_uuid: z.string().max(64).optional(),
        path: z.string().max(4000).default(""),
      }),
    ),
    async (c) => {
      const { run_id, run_uuid, path } = c.req.valid("query");
      const { db, auth } = c.var;
      const taskId = taskOfRun(run_id ?? run_uuid ?? "");
      const [run] =
        taskId === null
          ? []
          : await db
              .select({ experiment: experimentOf })
              .from(trainingTask)
              .where(
                and(eq(trainingTask.id, taskId), isNull(trainingTask.deletedAt), readable(auth)),
              );
      if (!run || taskId === null)
        throw new MlflowError(
          "RESOURCE_DOES_NOT_EXIST",
          `Run '${run_id ?? run_uuid ?? ""}' not found`,
        );
      const root = `${run.experiment}/${runIdOf(taskId)}/artifacts`;
      const folder = path.replace(/^\/+|\/+$/g, "");
      const entries = await entriesAt(c, placeOf(folder ? `${root}/${folder}` : root));
      return c.json({
        root_uri: `mlflow-artifacts:/${root}`,
        files: entries.map((entry) => ({
          ...entry,
          path: folder ? `${folder}/${entry.path}` : entry.path,
        })),
      });
    },
  );

/** Files of runs, of logged models and of registered versions, as MLflow's clients reach them. */
export const artifacts = new Hono<App>()
  .onError(mlflowProblem)
  .use("/*", requireMlflowKey)
  .get("/artifacts", allow("weights:read", { box: true }), async (c) => {
    const path = c.req.query("path") ?? "";
    return c.json({ files: await entriesAt(c, placeOf(path.replace(/^\/+/, ""))) });
  })
  .put("/artifacts/*", allow("weights:write", { box: true }), async (c) => {
    await receiveFile(c, pointAtFinal, await target(c, placeIn(c, "/artifacts/")));
    return c.json({});
  })
  .get("/artifacts/*", allow("weights:read", { box: true }), async (c) => {
    const { object, size, filename } = await fileAt(c, placeIn(c, "/artifacts/"));
    const body = size > 0 ? await storeOf(c).stream(object.objectKey) : null;
    const headers = {
      "Content-Type": "application/octet-stream",
      "Content-Length": String(size),
      "Content-Disposition": contentDisposition("attachment", filename),
      // Whatever the file holds, it runs nothing here.
      "Content-Security-Policy": "sandbox; default-src 'none'",
      "X-Content-Type-Options": "nosniff",
      "Cache-Control": "private, no-store",
    };
    return new Response(body, { headers });
  })
  .delete("/artifacts/*", allow("weights:write"), async (c) => {
    const place = placeIn(c, "/artifacts/");
    if (place.kind === "version") throw readOnly();
    const run = await runOf(c.var.db, place);
    const name = filenameAt(run);
    const { trashed, left } = await trashFolder(c, pointAtFinal, run.taskId, name);
    if (trashed === 0) throw missing(run.path);
    if (left)
      throw new MlflowError(
        "INVALID_STATE",
        `${trashed} files are in the trash now, and others are left: ask again.`,
      );
    return c.json({});
  })
  .get("/presigned/*", allow("weights:read", { box: true }), async (c) => {
    const { object, size, filename } = await fileAt(c, placeIn(c, "/presigned/"));
    const expires = new Date(Date.now() + DOWNLOAD_URL_SEC * 1000);
    const url = await storeOf(c).signGet(
      { objectKey: object.objectKey, size },
      { name: filename, mediaType: null },
      expires,
    );
    c.header("Cache-Control", "no-store");
    return c.json({ url, headers: {}, file_size: size });
  })
  .post(
    "/mpu/create/*",
    allow("weights:write", { box: true }),
    limitBody(100_000),
    validate("json", z.object({ path: text(8000), num_parts: z.int().min(1).max(MOST_PARTS) })),
    async (c) => {
      const { path, num_parts } = c.req.valid("json");
      const { taskId } = await namedByParts(c, "create", path);
      const { id, parts } = await openParts(c, taskId, num_parts);
      return c.json({
        upload_id: id,
        credentials: parts.map(({ number, url, headers }) => ({
          url,
          part_number: number,
          headers,
        })),
      });
    },
  )
  .post(
    "/mpu/complete/*",
    allow("weights:write", { box: true }),
    limitBody(4_000_000),
    validate(
      "json",
      z.object({
        ...upload,
        parts: z
          .array(z.object({ part_number: z.int().min(1).max(MOST_PARTS), etag: text(500) }))
          .min(1)
          .max(MOST_PARTS),
      }),
      // ETags are no secrets, however random they look.
      ["parts"],
    ),
    async (c) => {
      const { path, upload_id, parts } = c.req.valid("json");
      const file = await namedByParts(c, "complete", path);
      await completeParts(c, pointAtFinal, file, {
        id: upload_id,
        parts: parts.map(({ part_number, etag }) => ({ number: part_number, etag })),
      });
      return c.json({});
    },
  )
  .post(
    "/mpu/abort/*",
    allow("weights:write", { box: true }),
    limitBody(100_000),
    validate("json", z.object(upload)),
    async (c) => {
      const { path, upload_id } = c.req.valid("json");
      const { taskId } = await namedByParts(c, "abort", path);
      await abortParts(c, taskId, upload_id);
      return c.json({});
    },
  );
