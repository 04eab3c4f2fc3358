import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as z from "zod";
import { decodeCursor, encodeCursor, page, pageAnswer, pageQuery } from "./page.ts";
import { ApiError } from "./problem.ts";

const place = z.tuple([z.string(), z.int()]);
const base64 = (text: string) => btoa(text).replaceAll("+", "-").replaceAll("/", "_");

describe("a cursor", () => {
  test("gives back any place of its list, and is safe in an address", () => {
    const value = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constant(null),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }).filter((n) => !Object.is(n, -0)),
    );
    const any = z.array(z.union([z.string(), z.number(), z.null()]));
    fc.assert(
      fc.property(fc.array(value), (values) => {
        const cursor = encodeCursor("things", values);
        expect(cursor).toMatch(/^[\w-]+$/);
        expect(decodeCursor("things", cursor, any)).toEqual(values);
      }),
    );
  });

  test.each([
    ["nothing", ""],
    ["no base64", "!!! not base64 !!!"],
    ["base64 of no JSON", base64("things")],
    ["JSON that is no list", base64('{"0":"things"}')],
    ["a number", base64("1")],
    ["null", base64("null")],
    ["an empty list", base64("[]")],
    ["one of another list", encodeCursor("others", ["a", 1])],
    ["a list's name of another type", base64('[["things"],"a",1]')],
    ["a place that is too short", encodeCursor("things", ["a"])],
    ["a place that is too long", encodeCursor("things", ["a", 1, 2])],
    ["a place of other types", encodeCursor("things", [1, "a"])],
    ["a fraction for a row's id", encodeCursor("things", ["a", 1.5])],
    ["a number too large to be one", base64('["things","a",1e999]')],
    ["an object for a text", base64('["things",{"toString":"a"},1]')],
    ["one cut short", encodeCursor("things", ["a", 1]).slice(0, -3)],
    ["one with a tail", `${encodeCursor("things", ["a", 1])}AAAA`],
    ["brackets without end", base64("[".repeat(3000))],
    ["a character beyond bytes", "€"],
    ["a control character", "\u0000"],
  ])("is refused with 422 at its field: %s", (_, cursor) => {
    try {
      decodeCursor("things", cursor, place);
    } catch (error) {
      expect(error).toBeInstanceOf(ApiError);
      expect(error).toMatchObject({ status: 422, code: "not-valid", errors: [{ path: "cursor" }] });
      return;
    }
    throw new Error("the cursor was taken");
  });

  test("made of anything is refused or a valid place, and nothing else is thrown", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.base64String(), fc.json().map(base64Of)), (cursor) => {
        try {
          place.parse(decodeCursor("things", cursor, place));
        } catch (error) {
          expect(error).toMatchObject({ status: 422 });
        }
      }),
    );
  });
});

const base64Of = (text: string) => encodeCursor("things", [text]);

describe("a page", () => {
  const rows = [{ id: 3 }, { id: 2 }, { id: 1 }];
  const cursorOf = ({ id }: { id: number }) => `after ${id}`;

  test("leaves out the row that was read to see whether more follow", () => {
    expect(page(rows, 2, cursorOf)).toEqual({ items: rows.slice(0, 2), next_cursor: "after 2" });
  });
  test("is the last one when no more rows came", () => {
    expect(page(rows, 3, cursorOf)).toEqual({ items: rows, next_cursor: null });
    expect(page([], 3, cursorOf)).toEqual({ items: [], next_cursor: null });
  });
  test("is what a list publishes", () => {
    const answer = pageAnswer(z.object({ id: z.int() }));
    expect(answer.safeParse(page(rows, 2, cursorOf)).success).toBe(true);
    expect(answer.safeParse({ items: rows }).success).toBe(false);
  });
});

describe("a list's query", () => {
  const query = z.strictObject(pageQuery);
  test("has 50 items when nobody says how many", () => {
    expect(query.parse({})).toEqual({ limit: 50 });
    expect(query.parse({ limit: "200", cursor: "x" })).toEqual({ limit: 200, cursor: "x" });
  });
  test.each(["0", "-1", "201", "1.5", "x", "", "NaN", "Infinity", "1e9", "1 2"])(
    "refuses the limit %j",
    (limit) => expect(query.safeParse({ limit }).success).toBe(false),
  );
  test("refuses a cursor that is longer than any list makes", () => {
    expect(query.safeParse({ cursor: "a".repeat(4001) }).success).toBe(false);
  });
});
