import { expect, it } from "vitest";
import { freshLedger } from "../../../test/harness.ts";

it("answers W&B's online client with a reason, whatever it asks", async () => {
  const ledger = await freshLedger();
  for (const [path, method] of [
    ["/wandb/graphql", "POST"],
    ["/wandb/files/anna/p/r/file_stream", "POST"],
    ["/wandb", "GET"],
  ]) {
    const response = await ledger.request(path ?? "", { method });
    expect(response.status).toBe(501);
    expect(await response.json()).toMatchObject({
      error: expect.stringContaining("--wandb offline"),
    });
  }
});
