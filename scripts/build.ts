/**
 * `npm run build`: makes build/worker.js, the Worker, and dist/, the static files that the platform serves:
 * the dashboard, the Python client, the API's description and the page that shows it. The same sources give
 * the same bytes, and a file that has not changed is not written, so that builds may run at the same time.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build as bundle } from "vite";
import { pageHeaders } from "../src/platform/http/pages.ts";
import { bundleWorker } from "./bundle-worker.ts";
import { root } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";
import { describeApi } from "./openapi.ts";
import { pythonIndex } from "./wheel.ts";

const dist = join(root, "dist");
/** What wrangler.toml names as `main`. */
const workerFile = join(root, "build/worker.js");

const headers = `/
${Object.entries(pageHeaders)
  .map(([name, value]) => `  ${name}: ${value}`)
  .join("\n")}
/assets/*
  Cache-Control: public, max-age=31536000, immutable
  X-Content-Type-Options: nosniff
/docs/*
  Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'
  X-Content-Type-Options: nosniff
  Referrer-Policy: no-referrer
/client.py
  Content-Type: text/x-python; charset=utf-8
  X-Content-Type-Options: nosniff
/packages/*
  Content-Type: application/zip
  X-Content-Type-Options: nosniff
/openapi.json
  X-Content-Type-Options: nosniff
`;

const page = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <meta name="color-scheme" content="light dark">
    <title>LoRA Ledger: API</title>
    <link rel="icon" type="image/svg+xml" href="/icon.svg">
    <link rel="stylesheet" href="swagger-ui.css">
    <link rel="stylesheet" href="page.css">
  </head>
  <body>
    <p class="back"><a href="/runs">← LoRA Ledger</a> Signed in on the pages, you need no key here: your session is sent along.</p>
    <div id="api"></div>
    <script src="swagger-ui-bundle.js"></script>
    <script src="show.js"></script>
  </body>
</html>
`;

const docsStyle = `body { margin: 0; }
.back { margin: 0; padding: 10px 20px; font: 14px system-ui, sans-serif; color: #3b4151; }
.back a { margin-right: 12px; color: #3443b8; font-weight: 600; }
.dark-mode body, .dark-mode { background: #1c2022; }
.dark-mode .back { color: #e4e6e6; }
.dark-mode .back a { color: #a9b3ff; }
`;

const show = `// The theme that the pages were given, else the system's.
const dark = matchMedia("(prefers-color-scheme: dark)");
const paint = () => {
  const chosen = localStorage.getItem("ledger.theme");
  const isDark = chosen ? chosen === "dark" : dark.matches;
  document.documentElement.classList.toggle("dark-mode", isDark);
};
dark.addEventListener("change", paint);
addEventListener("storage", paint);
paint();
// No validator: the page asks nobody but this service.
window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#api",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
`;

/** The Python client as one file, or undefined while its bundler is not there. */
async function bundledClient(): Promise<Buffer | undefined> {
  const bundler = join(root, "scripts/bundle-client.ts");
  if (!existsSync(bundler)) return undefined;
  await import(pathToFileURL(bundler).href);
  return readFileSync(join(root, "client/dist/ledger.py"));
}

/**
 * Runs work that Vite does otherwise where NODE_ENV is set: tests set it, and the `npm start` of a test would else
 * put other files under the servers of all tests.
 */
async function asProduction<T>(work: () => Promise<T>): Promise<T> {
  const before = process.env.NODE_ENV;
  process.env.NODE_ENV = "production";
  try {
    return await work();
  } finally {
    if (before === undefined) delete process.env.NODE_ENV;
    else process.env.NODE_ENV = before;
  }
}

/** The dashboard's files by their names in dist/. */
async function dashboard(): Promise<[string, string | Buffer][]> {
  const made = await asProduction(() =>
    bundle({
      configFile: join(root, "dashboard/vite.config.ts"),
      mode: "production",
      build: { write: false },
    }),
  );
  if (!("output" in made)) throw new Error("vite answered with something else than a bundle");
  const files = made.output.map((file): [string, string | Buffer] => [
    file.fileName,
    file.type === "chunk"
      ? file.code
      : typeof file.source === "string"
        ? file.source
        : Buffer.from(file.source),
  ]);
  const own = join(root, "dashboard/public");
  return [
    ...files,
    ...readdirSync(own).map((name): [string, Buffer] => [name, readFileSync(join(own, name))]),
  ];
}

/** Writes a file where it has changed; says whether it had. */
function write(path: string, content: string | Uint8Array): boolean {
  if (existsSync(path) && readFileSync(path).equals(Buffer.from(content))) return false;
  mkdirSync(dirname(path), { recursive: true });
  // Renamed into place: a server that reads meanwhile sees the old file or the new one.
  const next = `${path}.${process.pid}.new`;
  writeFileSync(next, content);
  renameSync(next, path);
  return true;
}

/** Makes the Worker and dist/ what they should be, and returns how many files changed. */
export async function build(): Promise<{ files: number; changed: number }> {
  const swagger = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
  const files = new Map<string, string | Uint8Array>([
    ["_headers", headers],
    ["openapi.json", JSON.stringify(await describeApi())],
    ["docs/index.html", page],
    ["docs/show.js", show],
    ["docs/page.css", docsStyle],
    ...(await dashboard()),
    ...pythonIndex(),
  ]);
  for (const name of ["swagger-ui.css", "swagger-ui-bundle.js", "LICENSE"])
    files.set(`docs/${name}`, readFileSync(join(swagger, name)));
  const client = await bundledClient();
  if (client) files.set("client.py", client);
  else console.error("scripts/bundle-client.ts is not there: dist/ has no client.py.");

  let changed = 0;
  for (const [name, content] of files) if (write(join(dist, name), content)) changed++;
  for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (!entry.isFile() || files.has(path.slice(dist.length + 1))) continue;
    // Another build's unfinished file is that build's business.
    if (path.endsWith(".new")) continue;
    rmSync(path);
    changed++;
  }
  if (write(workerFile, await bundleWorker())) changed++;
  return { files: files.size + 1, changed };
}

if (isMain(import.meta.url))
  await main(async () => {
    const { files, changed } = await build();
    console.log(`build/ and dist/: ${files} files, ${changed} changed`);
  });
