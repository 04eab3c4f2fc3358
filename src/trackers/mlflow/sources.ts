/* What a version's source means: a folder, or a file, that the ledger holds. */
import { and, desc, eq, isNull } from "drizzle-orm";
import type { Context } from "hono";
import { filesBelow, findFile } from "../../files/folder.ts";
import { resolveRef } from "../../models/links.ts";
import { loggedModel } from "../../platform/db/schema.ts";
import type { App } from "../../platform/http/context.ts";
import { MlflowError } from "./form.ts";
import { isLoggedModelId, type Place, placeOf, runOf } from "./places.ts";
import { MOST_FILES, readVersionFiles, type VersionFile } from "./version-files.ts";

export type SourceFile = VersionFile & { size: number };

const bad = (message: string) => new MlflowError("INVALID_PARAMETER_VALUE", message);

/** The place that a source names. Throws ApiError, MlflowError. */
async function placeOfSource(c: Context<App>, source: string): Promise<Place> {
  const [, scheme = "", rest = ""] = /^([a-z-]+):\/*(.*)$/i.exec(source) ?? [];
  switch (scheme.toLowerCase()) {
    case "runs": {
      const [run = "", ...path] = rest.split("/");
      return placeOf(["0", run, "artifacts", ...path].join("/"));
    }
    case "models": {
      const [name = "", ref = "", ...more] = rest.split("/");
      if (isLoggedModelId(name)) return placeOf(["0", "models", name, "artifacts"].join("/"));
      const [plain = "", alias] = name.split("@");
      const { row } = await resolveRef(
        c.var.db,
        plain,
        alias ?? (/^[1-9]\d{0,8}$/.test(ref) ? Number(ref) : ref),
      );
      return { kind: "version", name: row.model, number: row.version, path: more.join("/") };
    }
    case "mlflow-artifacts":
      // A host may come before the path.
      return placeOf(rest.replace(/^[^/]*[.:][^/]*\//, ""));
    case "http":
    case "https": {
      const [, path] = rest.split("/api/2.0/mlflow-artifacts/artifacts/");
      if (path) return placeOf(path);
    }
  }
  throw bad(
    `Invalid model version source: '${source.slice(0, 300)}'. The ledger registers files that it holds itself: log the model to a run of the ledger, and give runs:/<run_id>/<path>, models:/<model_id> or an mlflow-artifacts: URI.`,
  );
}

/** The files of a run's folder, or the one file of that name. */
async function filesOfRun(c: Context<App>, taskId: number, name: string): Promise<SourceFile[]> {
  const { db, auth } = c.var;
  const folder = name === "" || name.endsWith("/") ? name : `${name}/`;
  const files = await filesBelow(db, auth, { taskId, folder, limit: MOST_FILES + 1 });
  if (files.length)
    return files.map(({ id, filename, size }) => ({
      path: filename.slice(folder.length),
      weight: id,
      size,
    }));
  const file = name && !name.endsWith("/") ? await findFile(db, auth, taskId, name) : null;
  return file
    ? [{ path: name.slice(name.lastIndexOf("/") + 1), weight: file.id, size: file.size }]
    : [];
}

/** A model that the run logged under that name, as MLflow 3 keeps it beside the run's own folder. */
async function loggedAs(c: Context<App>, taskId: number, name: string) {
  const [row] = await c.var.db
    .select({ id: loggedModel.id })
    .from(loggedModel)
    .where(
      and(
        eq(loggedModel.taskId, taskId),
        eq(loggedModel.name, name),
        isNull(loggedModel.deletedAt),
      ),
    )
    .orderBy(desc(loggedModel.createdAt), desc(loggedModel.id))
    .limit(1);
  return row?.id ?? null;
}

/** The files that a source names. Throws ApiError 403, 404, and MlflowError where there are none, or too many. */
export async function readSource(c: Context<App>, source: string): Promise<SourceFile[]> {
  const place = await placeOfSource(c, source);
  let files: SourceFile[];
  if (place.kind === "version") {
    const { files: all } = await readVersionFiles(c, place.name, place.number);
    files = all.map(({ path, weight, size }) => ({ path, weight, size }));
  } else {
    const { taskId, prefix, path } = await runOf(c.var.db, place);
    files = await filesOfRun(c, taskId, prefix + path);
    if (files.length === 0 && prefix === "" && path !== "") {
      const id = await loggedAs(c, taskId, path);
      if (id) files = await filesOfRun(c, taskId, `models/${id}/`);
    }
  }
  if (files.length === 0)
    throw bad(
      `Unable to find a model at '${source.slice(0, 300)}': the ledger has no file there. Log the model first; a version of the ledger is a file.`,
    );
  if (files.length > MOST_FILES)
    throw bad(`A version may have ${MOST_FILES} files; '${source.slice(0, 300)}' holds more.`);
  return files;
}
