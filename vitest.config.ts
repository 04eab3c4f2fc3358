import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// Else each file's workerd asks an outside server where on Earth this machine is.
process.env.CLOUDFLARE_CF_FETCH_ENABLED ??= "false";
// Whoever's machine this is: tests read the client's English, but those of its Chinese.
process.env.LORA_LEDGER_LANG = "en";

const simulation = "test/simulation.node.test.ts";

/** The files that take longest begin first, so that none of them runs on alone; they take turns in waiting and computing. */
const long = [
  "test/security/schemathesis.node.test.ts",
  "test/docs.node.test.ts",
  "test/dashboard.node.test.ts",
  "test/agent.node.test.ts",
  "test/commands.node.test.ts",
  "test/dashboard-operations.node.test.ts",
  "test/recording.node.test.ts",
  "test/start.node.test.ts",
  "test/security/time.node.test.ts",
  "test/backup.node.test.ts",
  "test/alerts.node.test.ts",
  "test/security/local.node.test.ts",
  "test/dashboard-views.node.test.ts",
  "test/dashboard-models.node.test.ts",
  "test/dashboard-curves.node.test.ts",
  "src/platform/filter/filter.test.ts",
  "test/rights.test.ts",
  "src/metrics/logs.test.ts",
  "test/security/text.test.ts",
  "test/budgets.test.ts",
  "src/files/keeping.test.ts",
  "test/security/sizes.test.ts",
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]) {
    const rank = ({ moduleId }: TestSpecification) => {
      const at = long.findIndex((name) => moduleId.endsWith(`/${name}`));
      return at < 0 ? long.length : at;
    };
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => rank(a) - rank(b));
  }
}

/** `*.node.test.ts` run in Node against real processes; all other tests run inside workerd. */
export default defineConfig({
  test: {
    globalSetup: ["./test/global-setup.ts"],
    // Limits for what hangs, not for what is slow: a machine may have much else to do.
    testTimeout: 90_000,
    hookTimeout: 120_000,
    sequence: { sequencer: LongestFirst },
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
          maxWorkers: 2,
          sequence: { groupOrder: 2 },
        },
      },
      {
        extends: true,
        test: {
          name: "node",
          include: ["{src,test,scripts,dashboard}/**/*.node.test.ts"],
          exclude: [simulation],
          testTimeout: 180_000,
          // Each file brings servers of its own and mostly waits for them, so that three keep two cores at
          // work. The others come behind: their budgets count calls, and a database that is kept waiting
          // is asked again.
          maxWorkers: 3,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "alone",
          // Beside a browser, calls of fifty boxes run out of their time; the client's tests, which begin
          // with it (scripts/test.ts), take the core that it leaves.
          include: [simulation],
          maxWorkers: 1,
          sequence: { groupOrder: 0 },
        },
      },
    ],
  },
});
