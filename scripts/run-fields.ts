/** Writes what the Python client needs of the catalogues of src/shared: a run's columns, and base architectures. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  architecturePatterns,
  LONGEST_NAME,
  LONGEST_SPELLING,
} from "../src/shared/architectures.ts";
import { runFieldList } from "../src/shared/run-fields.ts";
import { root, Trouble } from "./local/processes.ts";
import { isMain, main } from "./local/say.ts";

const core = join(root, "client/src/lora_ledger/core");

const literal = (value: unknown): string => {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  return typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
};

/** The module's text: of the catalogue's lines what a client has a use for. */
function pythonFields(): string {
  const lines = runFieldList.map(([name, { type, values, min, max, longest, by }]) => {
    const facts = { type, values, min, max, longest, by };
    const known = Object.entries(facts).filter(([, value]) => value !== undefined);
    const parts = known.map(([key, value]) => `"${key}": ${literal(value)}`);
    return `    "${name}": {${parts.join(", ")}},\n`;
  });
  return [
    '"""The columns of a run, the same as for the service, whose src/shared/run-fields.ts says what each word means.\n',
    'Made by `node scripts/run.mjs run-fields`; change nothing here.\n"""\n',
    "from __future__ import annotations\n\nfrom typing import Any\n",
    `RUN_FIELDS: dict[str, dict[str, Any]] = {\n${lines.join("")}}\n`,
  ].join("\n");
}

/** The catalogue of architectures with the functions of src/shared/architectures.ts over it. */
function pythonArchitectures(): string {
  const lines = architecturePatterns.map(
    ({ id, media, spelled, named }) =>
      `    (${literal(id)}, ${literal(media)}, r${literal(spelled)}, r${literal(named)}),\n`,
  );
  return `"""Base architectures, the same as for the service, whose src/shared/architectures.ts says what each part means.

Made by \`node scripts/run.mjs run-fields\`; change nothing here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Optional

# (id, medium, what trainers and metadata call it, what names of models hold), the more special ones first.
ARCHITECTURES: tuple[tuple[str, str, str, str], ...] = (
${lines.join("")})
_LONGEST_SPELLING = ${LONGEST_SPELLING}
_LONGEST_NAME = ${LONGEST_NAME}


@lru_cache(maxsize=None)
def _compiled() -> list[tuple[str, str, re.Pattern[str], re.Pattern[str]]]:
    return [(id, media, re.compile(spelled), re.compile(named)) for id, media, spelled, named in ARCHITECTURES]


def arch_of(spelling: Optional[str]) -> Optional[str]:
    """The id of what a trainer's setting, \`ss_base_model_version\` or \`modelspec.architecture\` states."""
    text = re.sub(r"^[^a-z0-9]+", "", (spelling or "")[:_LONGEST_SPELLING].lower())
    text = re.split(r"[/:]", text, maxsplit=1)[0]
    return next((id for id, _, spelled, _ in _compiled() if spelled.search(text)), None)


def arch_of_name(name: Optional[str], diffusion: bool = False) -> Optional[str]:
    """The architecture that the file or hub name of a model tells; \`diffusion\` leaves language models out."""
    path = (name or "")[-_LONGEST_NAME:].lower().replace("\\\\", "/").rstrip("/")
    last = path.rsplit("/", 1)[-1]
    for among, text in ((not diffusion, last), (False, path)):
        for id, media, _, named in _compiled():
            if (among or media != "text") and named.search(text):
                return id
    return None


def model_type_of(id: Optional[str]) -> Optional[str]:
    """\`stable-diffusion\` or \`llm\`; None where the catalogue does not have the id."""
    media = next((media for one, media, _, _ in ARCHITECTURES if one == id), None)
    return media and ("llm" if media == "text" else "stable-diffusion")
`;
}

const modules = [
  [join(core, "run_fields.py"), pythonFields],
  [join(core, "architectures.py"), pythonArchitectures],
] as const;

/** Throws Trouble where a module of the client is of another catalogue. */
export async function checkPythonFields() {
  for (const [path, make] of modules)
    if (readFileSync(path, "utf8") !== make())
      throw new Trouble(
        `${path} is not of today's catalogue: run \`node scripts/run.mjs run-fields\`.`,
      );
}

if (isMain(import.meta.url))
  await main(async () => {
    for (const [path, make] of modules) writeFileSync(path, make());
  });
