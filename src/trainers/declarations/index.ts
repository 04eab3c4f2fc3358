import { programOf } from "../command.ts";
import type { Declaration } from "../declaration.ts";
import { imageModels } from "./image-models.ts";
import { languageModels } from "./language-models.ts";
import { transformersTrainers } from "./transformers.ts";
import { videoAndAudio } from "./video-and-audio.ts";

/** The built-in dialects that are tables; scripts/declarations.ts writes what the client reads of them. */
export const declarations: Declaration[] = [
  ...transformersTrainers,
  ...languageModels,
  ...imageModels,
  ...videoAndAudio,
];

const builtIn = declarations.flatMap(programNames);

/** The programs by which commands of the declared dialects are known, and of a person's own. */
export const programsOf = (own: Declaration[]): ReadonlySet<string> =>
  new Set([...builtIn, ...own.flatMap(programNames)]);

function programNames({ recognise }: Declaration): string[] {
  return (recognise.commands ?? []).flatMap((named) => programOf(named) ?? []);
}
