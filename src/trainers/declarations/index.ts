import type { Declaration } from "./form.ts";
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
