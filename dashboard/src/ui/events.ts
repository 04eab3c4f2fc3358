import type { InferResponseType } from "hono/client";
import type { api } from "../api.ts";
import { ago, bytes, duration, measure, money, setting } from "../format.ts";
import { type Text, t } from "../i18n.ts";

type Event = InferResponseType<typeof api.events.$get, 200>["items"][number];
type Delivery = Event["deliveries"][number];

export const eventKinds: Record<Event["kind"], { text: Text; badge: string }> = {
  failed: { text: "Failed", badge: "failed" },
  lost: { text: "Lost", badge: "failed" },
  finished: { text: "Succeeded", badge: "success" },
  loss_diverged: { text: "Loss diverged", badge: "failed" },
  stalled: { text: "Stalled", badge: "cancelled" },
  disk_full: { text: "Disk fills up", badge: "failed" },
  new_best: { text: "New best", badge: "success" },
  approval_requested: { text: "Waits for approval", badge: "cancelled" },
  released: { text: "Released", badge: "success" },
  box_idle: { text: "Paid box idle", badge: "cancelled" },
  job_failed: { text: "Job skipped items", badge: "failed" },
};

export const deliveryStates: Record<Delivery["state"], { text: Text; badge: string }> = {
  waiting: { text: "on its way", badge: "pending" },
  delivered: { text: "delivered", badge: "success" },
  dead: { text: "given up", badge: "failed" },
};

/** Labels of an event's details; a detail without one shows its own name. */
const detailLabels: Record<string, Text> = {
  failure_reason: "Reason",
  reason: "Reason",
  error_message: "Error",
  exit_code: "Exit code",
  agent: "Box",
  heartbeat_at: "Last seen",
  since: "Since when",
  metric: "Metric",
  value: "Value",
  level_before: "Before",
  best_before: "Before",
  step: "Step",
  free_bytes: "Disk left",
  needed_bytes: "Next checkpoint needs",
  gpu_info: "GPU",
  hourly_price: "Price",
  final_loss: "Final loss",
  total_duration_sec: "Duration",
  cost: "Cost",
  version: "Version",
  submitted_by: "Submitted by",
  released_by: "Released by",
  failed: "Items skipped",
  example: "One of them",
};

function detailText(name: string, value: unknown): string {
  if (name === "total_duration_sec" && typeof value === "number") return duration(value);
  if ((name === "cost" || name === "hourly_price") && typeof value === "number")
    return money(value);
  if ((name === "since" || name === "heartbeat_at") && typeof value === "string") return ago(value);
  if (name.endsWith("_bytes") && typeof value === "number") return bytes(value);
  if (typeof value === "number" && !Number.isInteger(value)) return measure(value);
  return setting(value);
}

/** The page of what an event is about; undefined for a scheduled job, which has none. */
export const eventHref = (event: Pick<Event, "subject" | "subject_id" | "name">) =>
  event.subject === "job"
    ? undefined
    : {
        task: `/runs/${event.subject_id}`,
        model: `/models/${encodeURIComponent(event.name)}`,
        box: "/board/boxes",
      }[event.subject];

/** The details of an event on one line. */
export const particulars = (detail: Record<string, unknown>) =>
  Object.entries(detail)
    .filter(([, value]) => value !== null && value !== "")
    .map(([name, value]) => {
      const text = detailLabels[name];
      return `${text ? t(text) : name.replaceAll("_", " ")}: ${detailText(name, value)}`;
    })
    .join(" · ");
