import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

// Else each file's workerd asks an outside server where on Earth this machine is.
process.env.CLOUDFLARE_CF_FETCH_ENABLED ??= "false";

const simulation = "test/simulation.node.test.ts";

/** `*.node.test.ts` run in Node against real processes; all other tests run inside workerd. */
export default defineConfig({
  test: {
    globalSetup: ["./test/global-setup.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" } })],
        test: {
          name: "workers",
          include: ["src/**/*.test.ts", "test/**/*.test.ts"],
          exclude: ["**/*.node.test.ts"],
          setupFiles: ["./test/drop-ledgers.ts"],
          // A workerd for many files: starting one for each takes longer than the tests. What tests
          // must not share is in the database, and each has one of its own.
          isolate: false,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "node",
          include: ["{src,test,scripts}/**/*.node.test.ts"],
          exclude: [simulation],
          testTimeout: 120_000,
          // Each file brings servers of its own and mostly waits for them. The others come behind: their
          // budgets count calls, and a database that is kept waiting is asked again.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "alone",
          // Fifty boxes want the machine to themselves: beside a browser, calls run out of their time.
          include: [simulation],
          maxWorkers: 1,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
