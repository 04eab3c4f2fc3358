import { keepPreviousData, queryOptions } from "@tanstack/preact-query";
import { api, read, readText } from "../../api.ts";

/** The trainer's own file. */
export const configQuery = (id: number) =>
  queryOptions({
    queryKey: ["config", id],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => readText(`/api/tasks/${id}/config`),
  });

export const datasetsQuery = (id: number) =>
  queryOptions({
    queryKey: ["datasets", id],
    queryFn: () => read(api.tasks[":id"].datasets.$get({ param: { id: String(id) } })),
  });

/** The newest 200 files of a run. */
export const filesQuery = (id: number) =>
  queryOptions({
    queryKey: ["weights", id],
    meta: { live: { everyMs: 60_000 } },
    placeholderData: keepPreviousData,
    queryFn: () => read(api.weights.$get({ query: { task_id: String(id), limit: "200" } })),
  });

/** The best value of the run's validation loss, else of its loss, and the file nearest to it. */
export const bestQuery = (id: number) =>
  queryOptions({
    queryKey: ["best", id],
    meta: { live: { runs: [id], everyMs: 60_000 } },
    queryFn: () => read(api.tasks[":id"].best.$get({ param: { id: String(id) }, query: {} })),
  });

/** The packed console of an attempt that has ended; null while there is none. */
export const consoleLogQuery = (id: number, attempt: number) =>
  queryOptions({
    queryKey: ["console", id, attempt],
    meta: { live: { runs: [id] } },
    queryFn: async () => {
      const query = {
        ...{ task_id: String(id), attempt: String(attempt), limit: "200" },
        ...{ kind: "state" as const, state: "complete" as const },
      };
      const { items } = await read(api.weights.$get({ query }));
      return items.find(({ filename }) => filename === "console.log.gz") ?? null;
    },
  });

/** The newest 200 checkpoints of a run. */
export const checkpointsQuery = (id: number) =>
  queryOptions({
    queryKey: ["checkpoints", id],
    meta: { live: { runs: [id], everyMs: 300_000 } },
    placeholderData: keepPreviousData,
    queryFn: async () => {
      const query = { task_id: String(id), kind: "checkpoint" as const, limit: "200" };
      return (await read(api.weights.$get({ query }))).items;
    },
  });

export const samplesQuery = (id: number) =>
  queryOptions({
    queryKey: ["samples", id],
    meta: { live: { everyMs: 120_000 } },
    placeholderData: keepPreviousData,
    queryFn: async () => {
      const query = {
        task_id: String(id),
        kind: "sample" as const,
        state: "complete" as const,
        limit: "200",
      };
      return (await read(api.weights.$get({ query }))).items;
    },
  });
