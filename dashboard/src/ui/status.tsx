import { type Text, t } from "../i18n.ts";
import type { Status } from "../types.ts";

const statusTexts: Record<Status, Text> = {
  pending: "Waiting",
  running: "Running",
  success: "Success",
  failed: "Failed",
  cancelled: "Cancelled",
};
const reasons: Record<string, Text> = {
  error: "error",
  oom: "out of memory",
  lost: "lost",
  preempted: "preempted",
};

/** The status of a run; of a failed one its reason, where that says more. */
export function statusText(status: Status, reason?: string | null): string {
  const why = reason ? reasons[reason] : undefined;
  return status === "failed" && why && why !== "error" ? t(why) : t(statusTexts[status]);
}

export const StatusBadge = (props: { status: Status; reason?: string | null }) => (
  <span class={`badge ${props.status}`}>
    <span class={`dot ${props.status}`} />
    {statusText(props.status, props.reason)}
  </span>
);
