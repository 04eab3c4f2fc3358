import diff from "highlight.js/lib/languages/diff";
import ini from "highlight.js/lib/languages/ini";
import json from "highlight.js/lib/languages/json";
import yaml from "highlight.js/lib/languages/yaml";
import { createLowlight } from "lowlight";

const lowlight = createLowlight({ diff, ini, json, yaml });

export const highlight = (language: string, text: string) =>
  lowlight.highlight(language, text).children;
