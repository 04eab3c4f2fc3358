import type { Config } from "../../env.ts";

/** The address at which clients reach the service: the configured one, else that of the request. */
export const baseUrl = (config: Config, requestUrl: string) =>
  (config.PUBLIC_URL ?? new URL(requestUrl).origin).replace(/\/+$/, "");
