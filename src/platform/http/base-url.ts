import type { Config } from "../../env.ts";

/** Where clients reach the service: as configured, else the address of the request itself. */
export const baseUrl = (config: Config, requestUrl: string) =>
  (config.PUBLIC_URL ?? new URL(requestUrl).origin).replace(/\/+$/, "");
