/**
 * The Python client as a wheel, and the index that pip installs it from: files for dist/. The wheel holds what
 * client/pyproject.toml names and nothing else, and the same sources give the same bytes. Formats: the binary
 * distribution format and the simple repository API of packaging.python.org (PEP 427, 503, 629, 691, 700).
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { strToU8, zipSync } from "fflate";
import { parse } from "smol-toml";
import * as z from "zod";
import { root } from "./local/processes.ts";

const client = join(root, "client");

/** What of pyproject.toml goes into a wheel. */
const pyproject = z.object({
  project: z.object({
    name: z.string(),
    description: z.string(),
    "requires-python": z.string(),
    license: z.object({ text: z.string() }),
    dependencies: z.array(z.string()).length(0),
    scripts: z.record(z.string(), z.string()),
  }),
});

/** A name as an index spells it (PEP 503). */
const normalised = (name: string) => name.replace(/[-_.]+/g, "-").toLowerCase();

const sha256 = (bytes: Uint8Array, encoding: "hex" | "base64url") =>
  createHash("sha256").update(bytes).digest(encoding);

/** The version that the client gives itself. Throws where it names none. */
export function clientVersion(): string {
  const text = readFileSync(join(client, "src/lora_ledger/__init__.py"), "utf8");
  const version = /^__version__ = "([^"]+)"$/m.exec(text)?.[1];
  if (!version) throw new Error("client/src/lora_ledger/__init__.py names no __version__");
  return version;
}

/** The wheel, by its file's name. */
export function buildWheel(): { file: string; bytes: Uint8Array; requiresPython: string } {
  const { project } = pyproject.parse(parse(readFileSync(join(client, "pyproject.toml"), "utf8")));
  const version = clientVersion();
  const name = normalised(project.name).replaceAll("-", "_");
  const info = `${name}-${version}.dist-info`;
  const files = new Map<string, Uint8Array>();
  const source = join(client, "src");
  for (const path of readdirSync(source, { recursive: true, encoding: "utf8" }).sort())
    if (/\.(?:py|typed)$/.test(path))
      files.set(
        path.replaceAll("\\", "/"),
        strToU8(readFileSync(join(source, path), "utf8").replaceAll("\r\n", "\n")),
      );
  const lines = (...text: string[]) => strToU8(`${text.join("\n")}\n`);
  files.set(
    `${info}/METADATA`,
    lines(
      "Metadata-Version: 2.1",
      `Name: ${project.name}`,
      `Version: ${version}`,
      `Summary: ${project.description}`,
      `License: ${project.license.text}`,
      `Requires-Python: ${project["requires-python"]}`,
      "Description-Content-Type: text/markdown",
      "",
      readFileSync(join(client, "README.md"), "utf8"),
    ),
  );
  files.set(
    `${info}/WHEEL`,
    lines(
      "Wheel-Version: 1.0",
      "Generator: lora-ledger",
      "Root-Is-Purelib: true",
      "Tag: py3-none-any",
    ),
  );
  files.set(
    `${info}/entry_points.txt`,
    lines(
      "[console_scripts]",
      ...Object.entries(project.scripts).map(([command, target]) => `${command} = ${target}`),
    ),
  );
  files.set(`${info}/top_level.txt`, lines(name));
  const record = [...files].map(
    ([path, bytes]) => `${path},sha256=${sha256(bytes, "base64url")},${bytes.length}`,
  );
  files.set(`${info}/RECORD`, lines(...record, `${info}/RECORD,,`));
  // The format has no time before 1980, and none is wanted.
  const mtime = new Date(1980, 0, 1);
  return {
    file: `${name}-${version}-py3-none-any.whl`,
    bytes: zipSync(Object.fromEntries(files), { level: 9, mtime }),
    requiresPython: project["requires-python"],
  };
}

/** The wheel and its index, by their names in dist/. */
export function pythonIndex(): [string, string | Uint8Array][] {
  const { file, bytes, requiresPython } = buildWheel();
  const name = "lora-ledger";
  const hash = sha256(bytes, "hex");
  const page = (title: string, link: string) => `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="pypi:repository-version" content="1.1">
    <title>${title}</title>
  </head>
  <body>
    ${link}
  </body>
</html>
`;
  const escaped = requiresPython.replaceAll(">", "&gt;").replaceAll("<", "&lt;");
  const meta = { "api-version": "1.1" };
  return [
    [`packages/${file}`, bytes],
    ["simple/index.html", page("LoRA Ledger's packages", `<a href="/simple/${name}/">${name}</a>`)],
    [
      `simple/${name}/index.html`,
      page(
        name,
        `<a href="/packages/${file}#sha256=${hash}" data-requires-python="${escaped}">${file}</a>`,
      ),
    ],
    ["simple/index.json", JSON.stringify({ meta, projects: [{ name }] })],
    [
      `simple/${name}/index.json`,
      JSON.stringify({
        meta,
        name,
        versions: [clientVersion()],
        files: [
          {
            filename: file,
            url: `/packages/${file}`,
            hashes: { sha256: hash },
            "requires-python": requiresPython,
            size: bytes.length,
          },
        ],
      }),
    ],
  ];
}
