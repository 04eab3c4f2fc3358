// Schemathesis asks every route for two bounded minutes, as four callers: no fault of the service, no
// status or content type that its description does not name, no answer that breaks its schema.

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { runProcess, type Stack, startStack } from "../stack.ts";
import { pythonTool } from "./python-tools.ts";

const schemathesis = pythonTool("schemathesis");
const SECONDS = 30;

describe.skipIf(!schemathesis)("Schemathesis", () => {
  let stack: Stack;
  let keys: Record<string, string | null>;

  beforeAll(async () => {
    stack = await startStack();
    keys = {
      "an admin": stack.admin,
      "a member": await stack.key("mia", "member"),
      "a box": await stack.key("bo", "member", ["box"]),
      nobody: null,
    };
  });
  afterAll(() => stack?.stop());

  it.each(["an admin", "a member", "a box", "nobody"])(
    "finds nothing as %s",
    { timeout: (SECONDS + 90) * 1000 },
    async (who) => {
      const key = keys[who];
      const { code, out } = await runProcess(
        schemathesis ?? "",
        [
          "run",
          `${stack.url}/openapi.json`,
          ...["--no-color", "--continue-on-failure", "--no-shrink"],
          ...["--seed", "1", "--max-time", String(SECONDS), "--max-examples", "20"],
          ...["--phases", "examples,coverage,fuzzing", "--warnings", "off"],
          // A claim may wait for half a minute.
          ...["--request-timeout", "60", "--suppress-health-check", "all"],
          "--checks",
          "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
          ...(key ? ["--header", `Authorization: Bearer ${key}`] : []),
        ],
        {
          cwd: stack.home,
          env: {
            ...process.env,
            SCHEMATHESIS_HOOKS: "schemathesis_hooks",
            PYTHONPATH: join(root, "test/security"),
          },
        },
      ).ended;
      expect([code, code === 0 ? "" : out.slice(-12_000)]).toEqual([0, ""]);
      const [, cases = "0"] = out.match(/(\d+) generated/) ?? [];
      console.log(`Schemathesis as ${who}: ${cases} requests`);
      expect(Number(cases)).toBeGreaterThan(100);
    },
  );
});
