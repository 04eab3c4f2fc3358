export type Value = string | number | null;

/** One run on the charts: its label, the group that colours it, and its values by field. */
export type Dot = { id: number; name: string; group: string; values: Record<string, Value> };
