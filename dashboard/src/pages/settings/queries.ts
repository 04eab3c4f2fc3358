import { queryOptions } from "@tanstack/preact-query";
import { api, read } from "../../api.ts";

export const keys = { keys: ["keys"], webhooks: ["webhooks"] };

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

/** The run that was registered last. */
export const newestRunQuery = queryOptions({
  queryKey: ["newest-run"],
  queryFn: () => read(api.tasks.$get({ query: { limit: "1" } })),
});
