import { whole } from "../format.ts";
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
  oom: "Out of memory",
  lost: "Lost",
  preempted: "Preempted",
};

/** The status of a run; of a failed one its reason, where that says more. */
export function statusText(status: Status, reason?: string | null): string {
  const why = reason ? reasons[reason] : undefined;
  return status === "failed" && why && why !== "error" ? t(why) : t(statusTexts[status]);
}

/** The title of a run that holds NaN: what it ended in does not say it. */
const nanTexts: Record<Status, Text> = {
  pending: "waiting, with NaN from step {step}",
  running: "running, with NaN from step {step}",
  success: "ended in success, with NaN from step {step}",
  failed: "failed, with NaN from step {step}",
  cancelled: "cancelled, with NaN from step {step}",
};

/** The badge of a run whose loss was NaN or infinite, first at a step; `brief` where there is little room. */
export const NanBadge = (props: { status: Status; step: number; brief?: boolean }) => {
  const step = { step: whole(props.step) };
  const title = t(nanTexts[props.status], step);
  return (
    <span class="badge failed" title={title}>
      {props.brief ? "NaN" : t("NaN from step {step}", step)}
    </span>
  );
};

export const StatusBadge = (props: { status: Status; reason?: string | null }) => (
  <span class={`badge ${props.status}`}>
    <span class={`dot ${props.status}`} />
    {statusText(props.status, props.reason)}
  </span>
);
