import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { continuing } from "../src/shared/continuing.ts";

describe("the documented table", () => {
  it.each(["docs/new-run.md", "docs/new-run.zh.md"])("has each trainer's settings: %s", (page) => {
    const rows = readFileSync(page, "utf8").split("\n");
    for (const [trainer, { weights, state }] of Object.entries(continuing)) {
      const cells = rows
        .find((row) => row.startsWith("| ") && row.includes(`\`${trainer}\``))
        ?.split(" | ");
      expect(cells, trainer).toHaveLength(3);
      for (const [n, setting] of [weights, state].entries()) {
        const said = cells?.[n + 1] ?? "";
        if (setting)
          expect(said, trainer).toContain(`\`${setting.path.join(".").replace(".0.", "[0].")}\``);
        else expect(said, trainer).toMatch(/^(?:cannot|不能)/);
      }
    }
  });
});
