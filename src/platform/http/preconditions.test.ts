import { expect, test } from "vitest";
import { changedMeanwhile, ifMatch } from "./preconditions.ts";

test.each([
  [undefined, null],
  ["*", null],
  ['"3"', 3],
  ['W/"3"', 3],
  ['"0"', 0],
  ['"999999999999999"', 999_999_999_999_999],
])("If-Match %j is the version %j", (header, version) => {
  expect(ifMatch(header)).toBe(version);
});

test.each([
  "",
  "3",
  '"3',
  '3"',
  '"-1"',
  '"1.5"',
  '"1e3"',
  '"three"',
  '""',
  ' "3"',
  '"3" ',
  '"3", "4"',
  'w/"3"',
  '"3"\n',
  '"1234567890123456"',
  '"٣"',
])("If-Match %j is refused with 422", (header) => {
  expect(() => ifMatch(header)).toThrow(
    expect.objectContaining({
      status: 422,
      errors: [expect.objectContaining({ path: "If-Match" })],
    }),
  );
});

test("a change that came too late says which version there is", () => {
  expect(changedMeanwhile(7)).toMatchObject({
    status: 412,
    code: "changed-meanwhile",
    extra: { version: 7 },
  });
});
