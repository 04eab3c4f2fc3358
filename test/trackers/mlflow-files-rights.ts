// Who may use which route of MLflow's artifacts, logged models and registry: the scopes, and whether box keys may.
import type { Scope } from "../../src/shared/scopes.ts";

type Right = { scopes: Scope[]; box?: true };

const files = "/mlflow/api/2.0/mlflow-artifacts";
const base = "/mlflow/api/2.0/mlflow";
const reads: Right = { scopes: ["weights:read"], box: true };
const writes: Right = { scopes: ["weights:write"], box: true };
const readsRuns: Right = { scopes: ["tasks:read"], box: true };
const writesRuns: Right = { scopes: ["tasks:write"], box: true };
const readsModels: Right = { scopes: ["models:read"] };
const writesModels: Right = { scopes: ["models:write"] };

export const mlflowFilesRights: Record<string, Right> = {
  [`GET ${files}/artifacts`]: reads,
  [`GET ${files}/artifacts/*`]: reads,
  [`PUT ${files}/artifacts/*`]: writes,
  [`DELETE ${files}/artifacts/*`]: { scopes: ["weights:write"] },
  [`GET ${files}/presigned/*`]: reads,
  [`POST ${files}/mpu/create/*`]: writes,
  [`POST ${files}/mpu/complete/*`]: writes,
  [`POST ${files}/mpu/abort/*`]: writes,
  [`GET ${base}/artifacts/list`]: { scopes: ["weights:read", "tasks:read"], box: true },
  [`POST ${base}/logged-models`]: writesRuns,
  [`POST ${base}/logged-models/search`]: readsRuns,
  [`GET ${base}/logged-models/:model_id`]: readsRuns,
  [`PATCH ${base}/logged-models/:model_id`]: writesRuns,
  [`DELETE ${base}/logged-models/:model_id`]: { scopes: ["tasks:write"] },
  [`PATCH ${base}/logged-models/:model_id/tags`]: writesRuns,
  [`DELETE ${base}/logged-models/:model_id/tags/:key`]: writesRuns,
  [`POST ${base}/logged-models/:model_id/params`]: writesRuns,
  [`GET ${base}/logged-models/:model_id/artifacts/directories`]: reads,
  [`POST ${base}/runs/outputs`]: writesRuns,
  [`POST ${base}/registered-models/create`]: writesModels,
  [`GET ${base}/registered-models/get`]: readsModels,
  [`GET ${base}/registered-models/search`]: readsModels,
  [`PATCH ${base}/registered-models/update`]: writesModels,
  [`POST ${base}/registered-models/rename`]: writesModels,
  [`DELETE ${base}/registered-models/delete`]: writesModels,
  [`POST ${base}/registered-models/set-tag`]: writesModels,
  [`DELETE ${base}/registered-models/delete-tag`]: writesModels,
  [`GET ${base}/registered-models/get-latest-versions`]: readsModels,
  [`POST ${base}/registered-models/get-latest-versions`]: readsModels,
  [`POST ${base}/registered-models/alias`]: writesModels,
  [`GET ${base}/registered-models/alias`]: readsModels,
  [`DELETE ${base}/registered-models/alias`]: writesModels,
  [`POST ${base}/model-versions/create`]: {
    scopes: ["models:write", "weights:read", "tasks:read"],
  },
  [`GET ${base}/model-versions/get`]: readsModels,
  [`GET ${base}/model-versions/get-download-uri`]: readsModels,
  [`GET ${base}/model-versions/search`]: readsModels,
  [`PATCH ${base}/model-versions/update`]: writesModels,
  [`POST ${base}/model-versions/transition-stage`]: writesModels,
  [`DELETE ${base}/model-versions/delete`]: writesModels,
  [`POST ${base}/model-versions/set-tag`]: writesModels,
  [`DELETE ${base}/model-versions/delete-tag`]: writesModels,
};
