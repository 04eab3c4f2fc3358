import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";

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
        },
      },
      {
        extends: true,
        test: {
          name: "node",
          include: ["{src,test,scripts}/**/*.node.test.ts"],
          testTimeout: 120_000,
          // Each file brings servers of its own and mostly waits for them.
          maxWorkers: 2,
        },
      },
    ],
  },
});
