import { Hono } from "hono";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { ConfigError } from "../../env.ts";
import { notFound, problem, refuse } from "./problem.ts";
import { problemAnswer } from "./problem-answer.ts";

/** What a route answers that throws this. */
async function answerTo(thrown: unknown, path = "/things/3") {
  const app = new Hono().all("*", (c) => problem(thrown, c));
  const response = await app.request(path);
  const body = await response.json<Record<string, unknown>>();
  expect(problemAnswer.safeParse(body).error).toBeUndefined();
  expect(body.status).toBe(response.status);
  expect(response.headers.get("Content-Type")).toBe("application/problem+json");
  return { response, body };
}

describe("a problem", () => {
  const log = vi.spyOn(console, "error").mockImplementation(() => {});
  afterEach(() => log.mockClear());
  afterAll(() => log.mockRestore());

  test("has the error's code, sentence, faults, further members and headers", async () => {
    const errors = [{ path: "a[0].b", message: "must be a number" }];
    const { response, body } = await answerTo(
      refuse(
        "not-valid",
        { case: "faults", what: "The request", faults: "No" },
        { errors, extra: { version: 3 }, headers: { "Retry-After": "7" } },
      ),
    );
    expect(body).toEqual({
      type: "urn:lora-ledger:not-valid",
      title: "Not valid",
      status: 422,
      detail: "The request was refused and nothing was stored: No.",
      code: "not-valid",
      params: { case: "faults", what: "The request", faults: "No" },
      errors,
      version: 3,
    });
    expect(response.headers.get("Retry-After")).toBe("7");
    expect(log).not.toHaveBeenCalled();
  });

  test("has a title where its status has none of its own", async () => {
    const short = refuse("refused", { reason: "Short." }, { status: 418 });
    expect((await answerTo(short)).body).toMatchObject({ title: "Error", detail: "Short." });
  });

  test("is found behind what wraps it", async () => {
    const wrapped = new Error("driver", {
      cause: new Error("more", { cause: notFound("task", { id: 3 }) }),
    });
    expect((await answerTo(wrapped)).body).toMatchObject({
      status: 404,
      detail: "There is no task 3.",
    });
    const config = new Error("wrapped", { cause: new ConfigError("JWT_SECRET is missing") });
    expect((await answerTo(config)).body.type).toBe("urn:lora-ledger:not-configured");
  });

  test.each([
    ["an error", new Error("insert into user values ('hunter2')")],
    ["a text", "hunter2"],
    ["undefined", undefined],
    ["null", null],
    ["an object that looks like one of ours", { status: 200, code: "fine", message: "hunter2" }],
  ])("of an unexpected fault tells nothing of it: %s", async (_, thrown) => {
    const { body } = await answerTo(thrown);
    expect(body).toMatchObject({ status: 500, type: "urn:lora-ledger:internal" });
    expect(JSON.stringify(body)).not.toContain("hunter2");
  });

  test("ends its search in a circle of causes", async () => {
    const error = new Error("round");
    error.cause = error;
    expect((await answerTo(error)).body.status).toBe(500);
  });

  test("is logged without messages and without the secret of a public link", async () => {
    await answerTo(new TypeError("hunter2"), "/share/the-secret");
    expect(log).toHaveBeenCalledOnce();
    const [line] = log.mock.calls.map((call) => call.slice(0, 4).join(" "));
    expect(line).toBe("unexpected fault GET /share/… TypeError");
  });
});
