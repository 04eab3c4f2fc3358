import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/preact-query";
import { api, read } from "../../api.ts";
import { inPages } from "../../queries.ts";

/** A step of one model changes lists, aliases and reviews: all of them are asked again. */
export const keys = { models: ["models"] };

export const modelsQuery = infiniteQueryOptions({
  queryKey: [...keys.models, "all"],
  ...inPages((query) => read(api.models.$get({ query }))),
});

/** Versions that wait for a decision. */
export const reviewsQuery = infiniteQueryOptions({
  queryKey: [...keys.models, "reviews"],
  ...inPages((query) => read(api.reviews.$get({ query }))),
});

export const modelQuery = (name: string) =>
  queryOptions({
    queryKey: [...keys.models, "one", name],
    queryFn: () => read(api.models[":name"].$get({ param: { name } })),
  });

export const versionsQuery = (name: string) =>
  infiniteQueryOptions({
    queryKey: [...keys.models, "versions", name],
    placeholderData: keepPreviousData,
    ...inPages((query) => read(api.models[":name"].versions.$get({ param: { name }, query }))),
  });

/** One version with the run, data, figures, cost and decision behind it. */
export const provenanceQuery = (name: string, version: number) =>
  queryOptions({
    queryKey: [...keys.models, "provenance", name, version],
    queryFn: () =>
      read(
        api.models[":name"].versions[":number"].$get({ param: { name, number: String(version) } }),
      ),
  });

export const aliasesQuery = (name: string) =>
  queryOptions({
    queryKey: [...keys.models, "aliases", name],
    queryFn: () => read(api.models[":name"].aliases.$get({ param: { name } })),
  });

/** Moves of a model's aliases, the latest first. */
export const movesQuery = (name: string) =>
  infiniteQueryOptions({
    queryKey: [...keys.models, "moves", name],
    ...inPages(
      (query) => read(api.models[":name"].aliases.history.$get({ param: { name }, query })),
      20,
    ),
  });
