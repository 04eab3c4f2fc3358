import { expect, test } from "vitest";
import shared from "../../test/shared/launches.json" with { type: "json" };
import { recognise } from "./recognise.ts";

test.each(shared.cases.map((one) => [one.name, one] as const))("%s", (_, one) => {
  const { trainer } = recognise({ text: one.text, path: one.path, command: one.command });
  expect(trainer).toBe(one.service);
});
