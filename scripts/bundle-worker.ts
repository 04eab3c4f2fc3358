/**
 * The Worker as one module, as it is deployed and as `npm start` and the tests run it. What OpenAPI
 * says of routes and fields (`describe(…)`) is needed when its document is made and left out here,
 * and with it every schema that only it names.
 */
import { join } from "node:path";
import { type Plugin, rolldown } from "rolldown";
import { parseSync, Visitor } from "rolldown/utils";
import { root } from "./local/processes.ts";

/** Takes `describe()`'s argument, and `.describe(…)` behind a schema, out of our own sources. */
const withoutDescriptions: Plugin = {
  name: "without-descriptions",
  transform: {
    filter: { id: /\/src\/.*\.ts$/ },
    handler(code, id) {
      const cuts: { from: number; to: number }[] = [];
      new Visitor({
        CallExpression({ callee, arguments: [first], end }) {
          if (callee.type === "Identifier" && callee.name === "describe" && first)
            cuts.push({ from: first.start, to: first.end });
          if (callee.type !== "MemberExpression" || callee.property.type !== "Identifier") return;
          if (callee.property.name === "describe") cuts.push({ from: callee.object.end, to: end });
        },
      }).visit(parseSync(id, code).program);
      let kept = "";
      let at = 0;
      for (const { from, to } of cuts.sort((a, b) => a.from - b.from)) {
        // A field's description within a route's is gone already.
        if (from < at) continue;
        kept += code.slice(at, from);
        at = to;
      }
      return kept + code.slice(at);
    },
  },
};

/** The module's text. Throws what the bundler says where a source has a mistake. */
export async function bundleWorker(): Promise<string> {
  const bundle = await rolldown({
    input: join(root, "src/index.ts"),
    platform: "browser",
    external: /^(node|cloudflare):/,
    resolve: { conditionNames: ["workerd", "worker", "browser", "import"] },
    // Making a schema does nothing else, so that one nobody names can go.
    treeshake: { manualPureFunctions: ["z"] },
    plugins: [withoutDescriptions],
  });
  try {
    const { output } = await bundle.generate({ format: "esm", minify: true });
    return output[0].code;
  } finally {
    await bundle.close();
  }
}
