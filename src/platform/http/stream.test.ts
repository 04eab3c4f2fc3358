import { expect, test } from "vitest";
import { streamOf } from "./stream.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

test("pieces come in order, empty ones left out", async () => {
  const stream = streamOf(
    (async function* () {
      yield bytes("a");
      yield bytes("");
      yield bytes("");
      yield bytes("bc");
      yield bytes("");
    })(),
  );
  const pieces: string[] = [];
  for await (const piece of stream) pieces.push(new TextDecoder().decode(piece));
  expect(pieces).toEqual(["a", "bc"]);
});

test("no pieces are an empty body", async () => {
  expect(await new Response(streamOf((async function* () {})())).text()).toBe("");
});

test("a piece is made when it is asked for, not before", async () => {
  const made: number[] = [];
  const reader = streamOf(
    (async function* () {
      for (let i = 0; i < 3; i++) {
        made.push(i);
        yield bytes(String(i));
      }
    })(),
  ).getReader();
  expect(made).toEqual([]);
  await reader.read();
  expect(made).toEqual([0]);
  await reader.read();
  expect(made).toEqual([0, 1]);
});

test("a reader that stops ends the generator where it is", async () => {
  let ended = false;
  let reached = false;
  const reader = streamOf(
    (async function* () {
      try {
        yield bytes("a");
        reached = true;
        yield bytes("b");
      } finally {
        ended = true;
      }
    })(),
  ).getReader();
  await reader.read();
  await reader.cancel("enough");
  expect([ended, reached]).toEqual([true, false]);
});

test("a fault breaks the body off instead of ending it", async () => {
  const stream = streamOf(
    (async function* () {
      yield bytes("half");
      throw new Error("the database went away");
    })(),
  );
  await expect(new Response(stream).text()).rejects.toThrow("the database went away");
});
