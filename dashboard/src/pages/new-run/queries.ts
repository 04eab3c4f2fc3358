import { queryOptions } from "@tanstack/preact-query";
import type { InferRequestType, InferResponseType } from "hono/client";
import { api, read } from "../../api.ts";

export type Preview = InferResponseType<typeof api.tasks.preview.$post, 200>;
export type PreviewFiles = InferRequestType<typeof api.tasks.preview.$post>["json"];
export type Template = NonNullable<
  InferResponseType<typeof api.tasks.templates.$get, 200>["template"]
>;
export type Speed = InferResponseType<typeof api.tasks.speeds.$get, 200>["items"][number];
export type Repeat = InferResponseType<(typeof api.tasks)[":id"]["reproduce"]["$get"], 200>;

const forever = { staleTime: Number.POSITIVE_INFINITY };

export const templatesQuery = queryOptions({
  queryKey: ["templates"],
  ...forever,
  queryFn: () => read(api.tasks.templates.$get({ query: {} })),
});

export const settingsQuery = (trainer: string) =>
  queryOptions({
    queryKey: ["templates", trainer],
    ...forever,
    enabled: trainer !== "" && trainer !== "unknown",
    queryFn: () => read(api.tasks.templates.$get({ query: { trainer } })),
  });

export const templateQuery = (trainer: string, arch: string) =>
  queryOptions({
    queryKey: ["templates", trainer, arch],
    ...forever,
    queryFn: () => read(api.tasks.templates.$get({ query: { trainer, arch } })),
  });

/** How fast runs of a trainer and an architecture were, by GPU. */
export const speedsQuery = (trainer: string, arch: string | null) =>
  queryOptions({
    queryKey: ["speeds", trainer, arch],
    staleTime: 5 * 60_000,
    enabled: trainer !== "" && trainer !== "unknown",
    queryFn: () =>
      read(
        api.tasks.speeds.$get({ query: { trainer, ...(arch !== null && { base_arch: arch }) } }),
      ),
  });

export const repeatQuery = (id: number) =>
  queryOptions({
    queryKey: ["reproduce", id],
    ...forever,
    queryFn: () => read(api.tasks[":id"].reproduce.$get({ param: { id: String(id) } })),
  });

export const weightQuery = (id: number) =>
  queryOptions({
    queryKey: ["weight", id],
    ...forever,
    queryFn: () => read(api.weights[":id"].$get({ param: { id: String(id) } })),
  });
