/*
 * Keys and values of metrics, params and tags: MLflow's bounds, sentences and truncation.
 */

import * as z from "zod";
import { cutText } from "../../platform/http/text.ts";
import { redactJson } from "../../platform/secrets/redact.ts";
import { invalid, name, word } from "./body.ts";

const LONGEST_KEY = 250;
const LONGEST_PARAM = 6000;
const LONGEST_TAG = 8000;
export const MOST_BATCH = { metrics: 1000, params: 100, tags: 100, all: 1000 };

/** `.`, `..` and what is no plain relative path: MLflow's own stores keep a file for each key. */
const isBadPath = (key: string) =>
  key.startsWith("/") ||
  key.split("/").some((part) => part === "" || part === "." || part === "..");

/** Refuses a key that MLflow refuses. `what` is `Metric`, `Param` or `Tag`. */
export function checkKey(what: "Metric" | "Param" | "Tag", key: string) {
  if (key === "") throw invalid(`Missing value for required parameter 'key'.`);
  if ([...key].length > LONGEST_KEY)
    throw invalid(`'${what} name' exceeds the maximum length of ${LONGEST_KEY} characters`);
  if (!/^[/\p{L}\p{N}_.\- :]*$/u.test(key))
    throw invalid(
      `Invalid value "${key}" for parameter 'name' supplied: Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/).`,
    );
  if (isBadPath(key))
    throw invalid(
      `Invalid value "${key}" for parameter 'name' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to another.`,
    );
}

export const paramValue = (value: string) => cutText(value, 0, LONGEST_PARAM);
const tagValue = (value: string) => cutText(value, 0, LONGEST_TAG);

export const tagPair = z.object({ key: name, value: word.default("") });

/** Tags of a request by their keys, values cut to MLflow's bounds and without secrets. Throws MlflowError. */
export function tagsOf(list: { key: string; value: string }[]): Record<string, string> {
  const tags: Record<string, string> = {};
  for (const { key, value } of list) {
    checkKey("Tag", key);
    tags[key] = tagValue(value);
  }
  return redactJson(tags, "").value;
}
