import { queryOptions } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { api, read } from "../../api.ts";

export const keys = { keys: ["keys"], webhooks: ["webhooks"], mirrors: ["mirrors"] };

export const keysQuery = queryOptions({
  queryKey: keys.keys,
  queryFn: () => read(api.keys.$get({ query: { limit: "200" } })),
});

export const webhooksQuery = queryOptions({
  queryKey: keys.webhooks,
  queryFn: () => read(api.webhooks.$get({ query: { limit: "100" } })),
});

/** The latest messages to webhooks. */
export const deliveriesQuery = queryOptions({
  queryKey: ["deliveries"],
  queryFn: () => read(api.deliveries.$get({ query: { limit: "30" } })),
});

export type Mirror = InferResponseType<typeof api.mirrors.$get, 200>["items"][number];

export const mirrorsQuery = queryOptions({
  queryKey: keys.mirrors,
  queryFn: () => read(api.mirrors.$get({ query: { limit: "100" } })),
});

/** How far a mirror's runs are. */
export const mirrorRunsQuery = (id: number) =>
  queryOptions({
    queryKey: [...keys.mirrors, id, "runs"],
    queryFn: () =>
      read(api.mirrors[":id"].runs.$get({ param: { id: String(id) }, query: { limit: "50" } })),
  });

/** The run that was registered last. */
export const newestRunQuery = queryOptions({
  queryKey: ["newest-run"],
  queryFn: () => read(api.tasks.$get({ query: { limit: "1" } })),
});
