/** What the demo's makers ask the service with. */
import { sleep } from "./processes.ts";

export type Json = Record<string, unknown>;
export type Api = (path: string, json?: Json, key?: string) => Promise<Json>;

/** Asks as a careful client: it comes again when it was told to. Throws what the service refuses. */
export function apiOf(url: string, ownKey: string): Api {
  return async function ask(path, json, key = ownKey) {
    const response = await fetch(`${url}${path}`, {
      method: json ? "POST" : "GET",
      headers: { Authorization: `Bearer ${key}`, "Content-Type": "application/json" },
      body: json && JSON.stringify(json),
    });
    const text = await response.text();
    const again = Number(response.headers.get("Retry-After"));
    if (response.status === 429 && again > 0) {
      await sleep(again * 1000);
      return ask(path, json, key);
    }
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : {};
  };
}
