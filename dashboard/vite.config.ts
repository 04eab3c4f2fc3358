import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

/** Where `npm run dev` finds the Worker that the pages talk to. */
const worker = process.env.LEDGER_WORKER ?? "http://localhost:8787";

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  logLevel: "warn",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    proxy: Object.fromEntries(
      ["/api", "/session", "/signed", "/docs", "/client.py", "/openapi.json", "/healthz"].map(
        (path) => [path, { target: worker, changeOrigin: true }],
      ),
    ),
  },
});
