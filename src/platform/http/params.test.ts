import { describe, expect, test } from "vitest";
import { readConfig } from "../../env.ts";
import { baseUrl } from "./base-url.ts";
import { isLostPerson, isPage } from "./pages.ts";
import { flag, idParam } from "./params.ts";

describe("an id of a path", () => {
  test.each([
    ["1", 1],
    ["007", 7],
    ["9007199254740991", Number.MAX_SAFE_INTEGER],
  ])("is a whole number: %j", (id, value) => {
    expect(idParam.parse({ id })).toEqual({ id: value });
  });

  test.each(["", "0", "-1", "1.5", "x", "1 2", "1,2", "1n", "٣", "NaN", "Infinity", "1e999"])(
    "is refused in one sentence: %j",
    (id) => {
      const messages = idParam.safeParse({ id }).error?.issues.map(({ message }) => message);
      expect(messages).toEqual(["must be a whole number from 1"]);
    },
  );

  test.each(["9007199254740992", "99999999999999999999"])(
    "is refused where two ids would be one number: %s",
    (id) => expect(idParam.safeParse({ id }).success).toBe(false),
  );
});

describe("a flag of a query", () => {
  test.each([
    ["true", true],
    ["1", true],
    ["false", false],
    ["0", false],
  ])("is %j or its like", (text, value) => {
    expect(flag().parse(text)).toBe(value);
  });

  test.each(["", "2", "maybe", "null", "true,false", " true"])("is refused: %j", (text) => {
    expect(flag().safeParse(text).success).toBe(false);
  });
});

describe("the service's address", () => {
  const config = (PUBLIC_URL?: string) =>
    readConfig({
      DATABASE_URL: "http://localhost:8080",
      JWT_SECRET: "a".repeat(32),
      ...(PUBLIC_URL !== undefined && { PUBLIC_URL }),
    });

  test.each([
    ["https://ledger.example", "https://ledger.example"],
    ["https://ledger.example/", "https://ledger.example"],
    ["https://ledger.example/under//", "https://ledger.example/under"],
    ["", "http://127.0.0.1:8787"],
    ["  ", "http://127.0.0.1:8787"],
    [undefined, "http://127.0.0.1:8787"],
  ])("configured as %j is %s", (configured, address) => {
    expect(baseUrl(config(configured), "http://127.0.0.1:8787/api/tasks?x=1")).toBe(address);
  });

  test("comes from no text that is no address", () => {
    expect(() => baseUrl(config(), "/api/tasks")).toThrow(TypeError);
  });
});

describe("a page of the dashboard", () => {
  test.each([
    ["GET", "/runs"],
    ["HEAD", "/runs"],
    ["GET", "/runs/3"],
    ["GET", "/models/portrait"],
    ["GET", "/sign-in"],
  ])("is %s %s", (method, path) => expect(isPage(method, path)).toBe(true));

  test.each([
    ["POST", "/runs"],
    ["get", "/runs"],
    ["GET", "/"],
    ["GET", "/runsx"],
    ["GET", "/api/runs"],
    ["GET", "//runs"],
    ["GET", "/runs/app.js"],
    ["GET", "/assets/runs"],
    ["GET", ""],
  ])("is not %s %j", (method, path) => expect(isPage(method, path)).toBe(false));
});

describe("an address that nothing has, opened by a person,", () => {
  const accept = "text/html,application/xhtml+xml,*/*;q=0.8";
  test.each(["/nowhere", "/runs.html", "/settings/x.js", "/apis", "//x", "/index.php"])(
    "is %s",
    (path) => {
      expect(isLostPerson("GET", path, accept)).toBe(true);
      expect(isLostPerson("HEAD", path, accept)).toBe(true);
      for (const other of [undefined, "", "*/*", "application/json", "x-text/html"])
        expect([other, isLostPerson("GET", path, other)]).toEqual([other, false]);
      expect(isLostPerson("POST", path, accept)).toBe(false);
    },
  );

  test.each([
    "/api",
    "/api/nowhere",
    "/session",
    "/signed/a",
    "/share/x",
    "/mlflow/api",
    "/simple/y",
    "/assets/a.js",
  ])("is not %s, which programs ask for", (path) =>
    expect(isLostPerson("GET", path, accept)).toBe(false),
  );
});
