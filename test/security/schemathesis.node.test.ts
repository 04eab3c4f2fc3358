// Schemathesis asks every route as four callers, so many times and no longer: no fault of the service, no
// status or content type that its description does not name, no answer that breaks its schema.

import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { runProcess, type Stack, startStack } from "../stack.ts";
import { pythonTool } from "./python-tools.ts";

const schemathesis = pythonTool("schemathesis");

/**
 * What each caller sends to each route: one in `share` of the cases at the edges of what the description
 * says, and `examples` made up beyond it. Whoever gets further into a route asks it more.
 */
const callers: [who: string, asks: { phases: string; share: number; examples: number }][] = [
  ["an admin", { phases: "examples,coverage,fuzzing", share: 8, examples: 2 }],
  ["a member", { phases: "examples,coverage,fuzzing", share: 16, examples: 2 }],
  ["a box", { phases: "examples,fuzzing", share: 1, examples: 2 }],
  ["nobody", { phases: "examples,fuzzing", share: 1, examples: 2 }],
];

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

  it.each(callers)(
    "finds nothing as %s",
    { timeout: 300_000 },
    async (who, { phases, share, examples }) => {
      const key = keys[who];
      const { code, out } = await runProcess(
        schemathesis ?? "",
        [
          "run",
          `${stack.url}/openapi.json`,
          ...["--no-color", "--continue-on-failure", "--no-shrink"],
          ...["--seed", "1", "--max-examples", String(examples)],
          ...["--phases", phases, "--warnings", "off"],
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
            SCHEMATHESIS_SHARE: String(share),
            PYTHONPATH: join(root, "test/security"),
          },
        },
      ).ended;
      expect([code, code === 0 ? "" : out.slice(-12_000)]).toEqual([0, ""]);
      const [, cases = "0"] = out.match(/(\d+) generated/) ?? [];
      console.log(`Schemathesis as ${who}: ${cases} requests`);
      const [, all = "0", tested = ""] = out.match(/Selected: (\d+)\/\1\s+Tested: (\d+)/) ?? [];
      expect([all, Number(tested)]).toEqual([tested, expect.any(Number)]);
      expect(Number(cases)).toBeGreaterThan(Number(tested));
    },
  );
});
