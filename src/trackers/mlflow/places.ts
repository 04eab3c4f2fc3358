/*
 * Places of artifacts, as `mlflow-artifacts:` URIs name them below their scheme:
 *
 *     <experiment>/<run>/artifacts/…              the files of a run
 *     <experiment>/models/<logged model>/artifacts/…   those below `models/<logged model>/` of its run
 *     registry/<model>/<number>/artifacts/…       the files of a registered version, as they were
 *
 * The experiment is not looked at: a run that moved to another group keeps its places.
 */
import { and, eq, isNull } from "drizzle-orm";
import type { Db } from "../../platform/db/client.ts";
import { loggedModel } from "../../platform/db/schema.ts";
import { redactText } from "../../platform/secrets/redact.ts";
import { MlflowError, taskOfRun } from "./form.ts";

export type Place =
  | { kind: "run"; taskId: number; path: string }
  | { kind: "model"; modelId: string; path: string }
  | { kind: "version"; name: string; number: number; path: string };

const loggedModelId = /^m-[0-9a-f]{32}$/;
export const isLoggedModelId = (id: string) => loggedModelId.test(id);

const bad = (message: string) => new MlflowError("INVALID_PARAMETER_VALUE", message);

/** The place of a path that is decoded already. Throws MlflowError. */
export function placeOf(text: string): Place {
  const [first = "", second = "", third = "", ...more] = text.replace(/\/+$/, "").split("/");
  const named = (rest: string[]) => {
    const path = rest.join("/");
    if (/[\p{Cc}\\\ufffd]/u.test(path) || rest.some((s) => s === "" || s === "." || s === ".."))
      throw bad(
        `Invalid artifact path '${path}': no empty segments, '.', '..', backslashes or control characters.`,
      );
    return path;
  };
  if (first === "registry" && more[0] === "artifacts") {
    const number = /^[1-9]\d{0,8}$/.test(third) ? Number(third) : 0;
    return { kind: "version", name: second, number, path: named(more.slice(1)) };
  }
  if (!/^\d{1,15}$/.test(first))
    throw bad(
      `Invalid artifact path '${text.slice(0, 300)}': expected <experiment>/<run>/artifacts/….`,
    );
  if (second === "models" && isLoggedModelId(third) && more[0] === "artifacts")
    return { kind: "model", modelId: third, path: named(more.slice(1)) };
  const taskId = taskOfRun(second);
  if (taskId === null || third !== "artifacts")
    throw bad(
      `Invalid artifact path '${text.slice(0, 300)}': expected <experiment>/<run>/artifacts/….`,
    );
  return { kind: "run", taskId, path: named(more) };
}

/** The run of a place, and the folder among its files. Throws MlflowError 404. */
export async function runOf(
  db: Db,
  place: Exclude<Place, { kind: "version" }>,
): Promise<{ taskId: number; prefix: string; path: string }> {
  const { path } = place;
  if (place.kind === "run") return { taskId: place.taskId, prefix: "", path };
  const [row] = await db
    .select({ taskId: loggedModel.taskId })
    .from(loggedModel)
    .where(and(eq(loggedModel.id, place.modelId), isNull(loggedModel.deletedAt)));
  if (!row)
    throw new MlflowError("RESOURCE_DOES_NOT_EXIST", `Logged model ${place.modelId} not found.`);
  return { taskId: row.taskId, prefix: `models/${place.modelId}/`, path };
}

/** The path of a request below `after`, decoded once. Throws MlflowError. */
export function pathBelow(url: string, after: string): string {
  const { pathname } = new URL(url);
  const at = pathname.indexOf(after);
  try {
    return decodeURIComponent(at < 0 ? "" : pathname.slice(at + after.length));
  } catch {
    throw bad("Invalid artifact path: it is not percent-encoded UTF-8.");
  }
}

/** The longest name of a file. */
const LONGEST = 255;

/** The name of a file of a run at a place. Throws MlflowError. */
export function filenameAt({ prefix, path }: { prefix: string; path: string }): string {
  const name = prefix + path;
  if (path === "") throw bad("Missing value for required parameter 'artifact_path'.");
  if (name.length > LONGEST || /^[a-z]:/i.test(name))
    throw bad(
      `Invalid artifact path '${path.slice(0, 100)}…': the ledger keeps names of up to ${LONGEST} characters below the run, and no drive letters.`,
    );
  if (redactText(name, "name").text !== name)
    throw bad("The artifact path looks like a secret, which no name may hold.");
  return name;
}

export const loggedModelUri = (experimentId: number | string, modelId: string) =>
  `mlflow-artifacts:/${experimentId}/models/${modelId}/artifacts`;

export const versionUri = (name: string, number: number) =>
  `mlflow-artifacts:/registry/${name}/${number}/artifacts`;
