import type { Context } from "hono";
import type { Bindings, Config } from "../../env.ts";
import type { Db } from "../../platform/db/client.ts";
import { baseUrl } from "../../platform/http/base-url.ts";
import type { App } from "../../platform/http/context.ts";
import { r2Store } from "./r2.ts";
import { s3Settings, s3Store } from "./s3.ts";
import type { Store } from "./store.ts";

/** The store that the configuration asks for. `base` is where clients reach the service. */
export function openStore(origin: { db: Db; env: Bindings; config: Config; base: string }): Store {
  const s3 = s3Settings(origin.config);
  return s3 ? s3Store(s3, origin) : r2Store(origin);
}

/** The store, for the handler of a request. */
export const storeOf = (c: Context<App>): Store =>
  openStore({
    db: c.var.db,
    env: c.env,
    config: c.var.config,
    base: baseUrl(c.var.config, c.req.url),
  });
