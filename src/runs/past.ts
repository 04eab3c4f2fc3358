import type * as z from "zod";
import type { importSchema } from "./fields.ts";

/** Times with any offset as the database compares them: in UTC. */
export const inUtc = (fields: Record<string, unknown>) =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      name.endsWith("_at") && typeof value === "string" ? new Date(value).toISOString() : value,
    ]),
  );

/** The columns that an import states of a run that has ended elsewhere. */
export function pastColumns({
  source,
  attempts,
  additional_args,
  ...stated
}: z.infer<typeof importSchema>): Record<string, unknown> {
  const given = Object.entries(stated).filter(([, value]) => value !== null);
  const { started_at: begin, finished_at: end, error_message: error, final_loss } = stated;
  return {
    // A field that the import leaves out keeps the default of a new row.
    ...(begin &&
      end && {
        total_duration_sec: Math.max(0, (Date.parse(end) - Date.parse(begin)) / 1000),
      }),
    ...inUtc(Object.fromEntries(given.filter(([, value]) => value !== undefined))),
    ...(error && { error_message: error }),
    // Points that come later do not draw a stated loss anew.
    final_loss_reported: typeof final_loss === "number",
    import_source: source,
    attempt: Math.max(0, ...(attempts ?? []).map(({ attempt }) => attempt)),
  };
}
