import { describe, expect, test } from "vitest";
import { runFields } from "../../shared/run-fields.ts";
import { recognise } from "../recognise.ts";
import type { Case } from "./cases/case.ts";
import { imageCases } from "./cases/image-models.ts";
import { transformersCases } from "./cases/transformers.ts";
import { videoAndAudioCases } from "./cases/video-and-audio.ts";
import { wrapperCases } from "./cases/wrappers.ts";

const cases: Case[] = [...transformersCases, ...imageCases, ...videoAndAudioCases, ...wrapperCases];

const columns = Object.entries(runFields)
  .filter(([, { by }]) => by === "trainer")
  .map(([name]) => name);

const read = ({ input: { command, ...input } }: Case) =>
  recognise({ ...input, ...(command !== undefined && { command: command.trim().split(/\s+/) }) });

describe("inputs as people write them, every column stated", () => {
  test.each(cases.map((one) => [`${one.trainer}: ${one.about}`, one] as const))("%s", (_, one) => {
    const found = read(one);
    expect({ trainer: found.trainer, kind: found.kind }).toEqual({
      trainer: one.trainer,
      kind: one.kind ?? "run",
    });
    expect(found.fields).toEqual({ ...one.read, ...one.defaults });
    expect([...found.defaults].sort()).toEqual(Object.keys(one.defaults).sort());
    const codes = found.warnings.map(({ code }) => code);
    const expected = [...(one.warnings ?? [])];
    if (one.kind !== undefined) expected.unshift(one.kind === "unknown" ? "no-training" : one.kind);
    expect(codes).toEqual(expected);
  });
});

/** The pairs of an input and a column whose value and origin are right. */
const rightPairs = (one: Case): number => {
  const found = read(one);
  const fields: Record<string, unknown> = found.fields;
  const wanted: Record<string, unknown> = { ...one.read, ...one.defaults };
  const defaults: string[] = found.defaults;
  return columns.filter(
    (column) =>
      fields[column] === wanted[column] && defaults.includes(column) === column in one.defaults,
  ).length;
};

describe("the count of pairs", () => {
  const byTrainer = Map.groupBy(cases, ({ trainer }) => trainer);
  test.each(
    [...byTrainer].map(
      ([trainer, own]) =>
        [
          `${trainer}: ${own.length} inputs, ${own.length * columns.length} pairs of an input and a column`,
          own,
        ] as const,
    ),
  )("%s", (_, own) => {
    expect(own.length).toBeGreaterThanOrEqual(3);
    const right = own.reduce((sum, one) => sum + rightPairs(one), 0);
    expect(right).toBe(own.length * columns.length);
  });
});
