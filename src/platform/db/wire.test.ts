import { expect, test } from "vitest";
import { fromWire, toWire, wireName } from "./wire.ts";

test.each([
  ["id", "id"],
  ["finalLoss", "final_loss"],
  ["isRCapable", "is_r_capable"],
  ["already_snake", "already_snake"],
  ["", ""],
])("the column %j is %j on the wire", (name, wire) => {
  expect(wireName(name)).toBe(wire);
});

test("a row has its own names alone changed, and comes back as it was", () => {
  const row = {
    taskId: 1,
    finalLoss: null,
    config: { innerName: [{ deepName: 1 }] },
    createdAt: undefined,
  };
  const wire = toWire(row);
  expect(wire).toEqual({
    task_id: 1,
    final_loss: null,
    config: { innerName: [{ deepName: 1 }] },
    created_at: undefined,
  });
  expect(wire.config).toBe(row.config);
  expect(fromWire<typeof row>(wire)).toEqual(row);
});

test("names of objects' own members are names like any other", () => {
  const hostile = JSON.parse('{"__proto__": {"admin": true}, "constructor": 1}');
  const taken = fromWire<Record<string, unknown>>(hostile);
  expect(Object.hasOwn(taken, "constructor")).toBe(true);
  expect("admin" in taken).toBe(false);
  expect("admin" in {}).toBe(false);
});

test("more names than are remembered still convert", () => {
  for (let i = 0; i < 1100; i++) expect(wireName(`aB${i}`)).toBe(`a_b${i}`);
});
