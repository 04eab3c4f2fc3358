import type { Declaration } from "./form.ts";
import { languageModels } from "./language-models.ts";

/** The built-in dialects that are tables; scripts/declarations.ts writes what the client reads of them. */
export const declarations: Declaration[] = [...languageModels];
