/** The tables, a file for each room; docs/database.md describes each. */

export * from "./schema/alerts.ts";
export * from "./schema/audit.ts";
export * from "./schema/files.ts";
export * from "./schema/metrics.ts";
export * from "./schema/models.ts";
export * from "./schema/people.ts";
export * from "./schema/queue.ts";
export * from "./schema/runs.ts";
export * from "./schema/trackers.ts";
export * from "./schema/upkeep.ts";
