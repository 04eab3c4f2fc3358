import { expect, test } from "vitest";
import { countUnittest } from "./test.ts";

test("unittest's closing lines are counted", () => {
  expect(countUnittest(["Ran 12 tests in 0.5s", "", "OK"], true)).toEqual({
    passed: 12,
    failed: 0,
    skipped: 0,
  });
  const mixed = [
    "Ran 12 tests in 0.5s",
    "FAILED (failures=1, errors=2, skipped=3, expected failures=1)",
  ];
  expect(countUnittest(mixed, false)).toEqual({ passed: 6, failed: 3, skipped: 3 });
  expect(countUnittest(["sh: python3: not found"], false)).toEqual({
    passed: 0,
    failed: 1,
    skipped: 0,
  });
});
