import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** Where `npm run dev` finds the Worker that the pages talk to. */
const worker = process.env.LEDGER_WORKER ?? "http://localhost:8787";

const at = (name: string) => fileURLToPath(new URL(`../${name}`, import.meta.url));

export default defineConfig({
  root: at("dashboard"),
  logLevel: "warn",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    // Whoever reaches Vite's port may read what it serves: never the folder with keys, .local/.
    fs: { allow: ["dashboard", "src", "node_modules"].map(at) },
    proxy: Object.fromEntries(
      ["/api", "/session", "/signed", "/docs", "/client.py", "/openapi.json", "/healthz"].map(
        (path) => [path, { target: worker, changeOrigin: true }],
      ),
    ),
  },
});
