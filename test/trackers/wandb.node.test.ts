// The real W&B client, online, against the service, which does not speak its protocol.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { root } from "../../scripts/local/processes.ts";
import { runProcess, type Stack, startStack } from "../stack.ts";
import { trackersPython } from "./clients.ts";

const python = trackersPython();

describe.skipIf(python === null)("W&B's client, online", () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack?.stop());

  it("is refused with the reason and with what to do", async () => {
    const { code, out } = await runProcess(
      python ?? "",
      [join(root, "test/trackers/wandb_online.py")],
      {
        cwd: stack.home,
        env: {
          ...process.env,
          WANDB_BASE_URL: `${stack.url}/wandb`,
          WANDB_API_KEY: "a".repeat(40),
          HOME: stack.home,
        },
      },
    ).ended;
    expect(code, out).toBe(0);
    expect(out).toContain("REFUSED");
    expect(out).toContain("lora-ledger run --wandb offline");
  });
});
