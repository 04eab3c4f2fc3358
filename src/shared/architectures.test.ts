import { expect, test } from "vitest";
import shared from "../../test/shared/architectures.json" with { type: "json" };
import { architectures, archOf, archOfName, modelTypeOf } from "./architectures.ts";

test.each(Object.entries(shared.stated))("%s, as a trainer or a file states it", (text, id) => {
  expect(archOf(text) ?? null).toBe(id);
});

test.each(Object.entries(shared.named))("%s, as the name of a model", (text, id) => {
  expect(archOfName(text) ?? null).toBe(id);
});

test("each id is one line, is its own spelling, and has a kind of model", () => {
  expect(new Set(architectures.map(({ id }) => id)).size).toBe(architectures.length);
  for (const { id, media } of architectures) {
    expect(archOf(id)).toBe(id);
    expect(modelTypeOf(id)).toBe(media === "text" ? "llm" : "stable-diffusion");
  }
  expect(modelTypeOf("something-new")).toBeUndefined();
});

test("no alias is hidden behind a line before its own", () => {
  for (const { id, names, spelled = [] } of architectures)
    for (const name of [...names, ...spelled])
      for (const separator of ["", "-", "_", "."]) {
        const text = name.replace(/^[*^]|\*$/g, "").replaceAll(" ", separator);
        expect([text, archOf(text)]).toEqual([text, id]);
      }
});

test("an image trainer's model is no language model, whatever its name", () => {
  expect(archOfName("qwen_girl.safetensors")).toBe("llm");
  expect(archOfName("qwen_girl.safetensors", "diffusion")).toBeUndefined();
});
