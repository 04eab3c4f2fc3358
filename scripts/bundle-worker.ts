/** The Worker as one module, as it is deployed and as `npm start` and the tests run it. */
import { join } from "node:path";
import { rolldown } from "rolldown";
import { root } from "./local/processes.ts";

/** The module's text. Throws what the bundler says where a source has a mistake. */
export async function bundleWorker(): Promise<string> {
  const bundle = await rolldown({
    input: join(root, "src/index.ts"),
    platform: "browser",
    external: /^(node|cloudflare):/,
    resolve: { conditionNames: ["workerd", "worker", "browser", "import"] },
  });
  try {
    const { output } = await bundle.generate({ format: "esm", minify: true });
    return output[0].code;
  } finally {
    await bundle.close();
  }
}
