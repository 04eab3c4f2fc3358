import { expect, it } from "vitest";
import { freshLedger } from "../../../test/harness.ts";
import { mlflowFilesRights } from "../../../test/trackers/mlflow-files-rights.ts";
import { app } from "../../app.ts";
import { usualScopes } from "../../shared/scopes.ts";

const ours =
  /^\/mlflow\/api\/2\.0\/(?:mlflow-artifacts|mlflow\/(?:artifacts|logged-models|runs\/outputs|registered-models|model-versions))(?:\/|$)/;

it("names the rights of every route", () => {
  const routes = app.routes
    .filter(({ method, path }) => method !== "ALL" && ours.test(path))
    .map(({ method, path }) => `${method} ${path}`);
  expect([...new Set(routes)].sort()).toEqual(Object.keys(mlflowFilesRights).sort());
});

it("asks each route for a key, its scopes, and more than a box where boxes have no part in it", async () => {
  const ledger = await freshLedger();
  const member = await ledger.key();
  const box = await ledger.box(member.key);
  const known = new Map<string, string>();
  const without = async (scope: string) => {
    const key =
      known.get(scope) ??
      (await ledger.key({ scopes: usualScopes.member.filter((one) => one !== scope) })).key;
    known.set(scope, key);
    return key;
  };
  for (const [route, { scopes, box: boxes }] of Object.entries(mlflowFilesRights)) {
    const [method = "", path = ""] = route.split(" ");
    const ask = async (key?: string) => {
      const url = path
        .replace(":model_id", `m-${"0".repeat(32)}`)
        .replace(":key", "k")
        .replace("*", `0/${"1".padStart(32, "0")}/artifacts/a`);
      const body = method === "GET" ? {} : { json: {} };
      const answer = await ledger.request(url, { method, ...body, ...(key && { key }) });
      return {
        status: answer.status,
        code: (await answer.json<{ error_code?: string }>()).error_code,
      };
    };
    expect(await ask(), route).toEqual({ status: 401, code: "UNAUTHENTICATED" });
    expect((await ask(member.key)).code, route).not.toBe("PERMISSION_DENIED");
    for (const scope of scopes)
      expect(await ask(await without(scope)), `${route} without ${scope}`).toEqual({
        status: 403,
        code: "PERMISSION_DENIED",
      });
    expect((await ask(box.key)).code === "PERMISSION_DENIED", `${route} by a box`).toBe(!boxes);
  }
});
