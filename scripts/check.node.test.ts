import { expect, test } from "vitest";
import { lockFaults } from "./check.ts";

const lock = (packages: Record<string, unknown>) => JSON.stringify({ packages });

test("a lock file must hold the binaries of every platform", () => {
  const tool = { optionalDependencies: { "@tool/linux": "1.0.0", "@tool/mac": "1.0.0" } };
  expect(
    lockFaults(
      lock({
        "": { optionalDependencies: { "node-mac": "1.0.0" } },
        "node_modules/a/node_modules/tool": tool,
        "node_modules/@tool/linux": {},
        "node_modules/a/node_modules/@tool/mac": {},
      }),
    ),
  ).toEqual(["node-mac, wanted by package.json, is missing"]);
  expect(lockFaults(lock({ "node_modules/tool": tool, "node_modules/@tool/linux": {} }))).toEqual([
    "@tool/mac, wanted by node_modules/tool, is missing",
  ]);
});

test("a lock file must not send others to one registry", () => {
  expect(
    lockFaults(lock({ "node_modules/a": { resolved: "https://registry.example/a.tgz" } })),
  ).toEqual(["node_modules/a names the address it came from"]);
  expect(lockFaults(lock({ "node_modules/a": { resolved: "client", link: true } }))).toEqual([]);
});
