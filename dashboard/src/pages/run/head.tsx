import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { duration, progressOf, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { keys, useRefresh } from "../../queries.ts";
import type { Task } from "../../types.ts";
import { Copy } from "../../ui/button.tsx";
import { Ago, Meter } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Menu } from "../../ui/menu.tsx";
import { NanBadge, StatusBadge } from "../../ui/status.tsx";
import { attempt } from "../../ui/toast.tsx";
import { mayWrite, useUserNames, useWho } from "../../who.ts";
import { Cancel, Delete, MoveToGroup, QueueIt, Rename, wasQueued } from "./act.tsx";

const asks = { cancel: Cancel, delete: Delete, rename: Rename, group: MoveToGroup, queue: QueueIt };

/** The line that repeats the run on any box with Python. */
const reproduceCommand = (id: number) =>
  `curl -fsS ${location.origin}/client.py -o ledger.py && LEDGER_URL=${location.origin} LEDGER_KEY=… python3 ledger.py reproduce ${id}`;

/** The name and state of a run, and what can be done with it. */
export function Head({ task }: { task: Task }) {
  const me = useWho();
  const refresh = useRefresh();
  const names = useUserNames();
  const [asking, setAsking] = useState<keyof typeof asks | null>(null);
  const param = { id: String(task.id) };
  const may = mayWrite(me, task.user_id);
  const fresh = () => refresh(keys.task(task.id));
  const progress = progressOf(task);
  const alive = task.status === "running" || task.status === "pending";
  const parent = task.parent_task_id;
  const Asked = asking && asks[asking];
  const ended = task.status === "failed" || task.status === "cancelled";

  return (
    <header class="stack">
      <div class="page-head">
        <Link class="button plain icon small" href="/runs" aria-label={t("Back to the runs")}>
          <Icon name="left" />
        </Link>
        <h1 class="clip run-title" title={task.task_name}>
          {task.task_name}
        </h1>
        <StatusBadge status={task.status} reason={task.failure_reason} />
        {typeof task.nonfinite_from_step === "number" && (
          <NanBadge status={task.status} step={task.nonfinite_from_step} />
        )}
        {task.cancel_requested && alive && (
          <span class="badge cancelled">{t("Stopping at its next report")}</span>
        )}
        {task.deleted_at && <span class="badge failed">{t("In the trash")}</span>}
        <span class="grow" />
        {may && task.deleted_at && (
          <button
            type="button"
            class="button small"
            onClick={() =>
              attempt(async () => {
                await read(api.tasks[":id"].restore.$post({ param }));
                await fresh();
              }, t("Restored"))
            }
          >
            {t("Restore")}
          </button>
        )}
        {may && !task.deleted_at && ended && wasQueued(task) && (
          <button
            type="button"
            class="button small"
            onClick={() =>
              attempt(async () => {
                await read(api.tasks[":id"].retry.$post({ param }));
                await fresh();
              }, t("The run waits for a box again"))
            }
          >
            <Icon name="again" />
            {t("Retry")}
          </button>
        )}
        {may && !task.deleted_at && !wasQueued(task) && (ended || task.status === "pending") && (
          <button type="button" class="button small" onClick={() => setAsking("queue")}>
            <Icon name="again" />
            {t("Queue it…")}
          </button>
        )}
        {may && alive && !task.cancel_requested && (
          <button type="button" class="button small danger" onClick={() => setAsking("cancel")}>
            <Icon name="stop" />
            {t("Cancel run")}
          </button>
        )}
        <Copy text={reproduceCommand(task.id)} label={t("Reproduce")} />
        <Menu class="button icon small" name={t("More")} label={<Icon name="more" />}>
          {me.scopes.includes("tasks:write") && (
            <Link class="item" href={`/new?task=${task.id}`}>
              <Icon name="copy" />
              {t("Clone")}
            </Link>
          )}
          <Link class="item" href={`/compare?ids=${parent ? `${parent},` : ""}${task.id}`}>
            <Icon name="compare" />
            {parent ? t("Compare with run {id}", { id: parent }) : t("Compare")}
          </Link>
          {task.experiment_group && (
            <Link
              class="item"
              href={`/runs?filter=${encodeURIComponent(`experiment_group = '${task.experiment_group.replaceAll("'", "''")}'`)}`}
            >
              <Icon name="group" />
              {t("Runs of its group")}
            </Link>
          )}
          <a class="item" href={`/api/tasks/${task.id}/config`} download>
            <Icon name="download" />
            {t("Download its config")}
          </a>
          <a class="item" href={`/api/tasks/${task.id}/logs?format=csv`} download>
            <Icon name="download" />
            {t("Download its loss as CSV")}
          </a>
          {may && !task.deleted_at && (
            <>
              <hr />
              <button type="button" class="item" onClick={() => setAsking("rename")}>
                <Icon name="edit" />
                {t("Rename…")}
              </button>
              <button type="button" class="item" onClick={() => setAsking("group")}>
                <Icon name="group" />
                {t("Move to a group…")}
              </button>
            </>
          )}
          {may && !task.deleted_at && task.status !== "running" && (
            <>
              <hr />
              <button type="button" class="item" onClick={() => setAsking("delete")}>
                <Icon name="trash" />
                {t("Delete")}
              </button>
            </>
          )}
        </Menu>
      </div>
      <p class="muted row wrap run-about">
        <span>#{task.id}</span>
        <span>{names.get(task.user_id) ?? t("User {id}", { id: task.user_id })}</span>
        {task.experiment_group && <span>{task.experiment_group}</span>}
        <span>
          {t("created")} <Ago at={task.created_at} />
        </span>
        {task.attempt > 1 && <span>{t("attempt {n}", { n: task.attempt })}</span>}
        {task.total_duration_sec !== null && !alive && (
          <span>{duration(task.total_duration_sec)}</span>
        )}
        {task.status === "running" && task.heartbeat_at && (
          <span>
            {t("last report")} <Ago at={task.heartbeat_at} />
          </span>
        )}
      </p>
      {progress && task.status !== "success" && (
        <div class="run-progress">
          <Meter share={progress.share} kind={task.status} label={t("Progress")} />
          <p class="row">
            <b>{Math.floor(progress.share * 100)}%</b>
            {progress.step !== null && (
              <span class="muted">
                {progress.total
                  ? t("step {step} of {total}", {
                      step: whole(progress.step),
                      total: whole(progress.total),
                    })
                  : t("step {step}", { step: whole(progress.step) })}
              </span>
            )}
            {task.status === "pending" && (
              <span class="muted">
                {t("continues from its last checkpoint at the next attempt")}
              </span>
            )}
            <span class="grow" />
            {progress.left !== null && (
              <span class="muted">{t("about {time} left", { time: duration(progress.left) })}</span>
            )}
          </p>
        </div>
      )}
      {Asked && <Asked task={task} close={() => setAsking(null)} />}
    </header>
  );
}

/** Why a run failed, on one line; the console has the rest. */
export function Failure({ task, href }: { task: Task; href: string }) {
  if (task.status !== "failed") return null;
  const why = task.error_message?.trim().split("\n").at(-1) || failureText(task.failure_reason);
  return (
    <p class="failure">
      <Icon name="warn" />
      <span class="clip" title={why}>
        {why}
      </span>
      <Link href={href}>{t("Console")}</Link>
    </p>
  );
}

function failureText(reason: string | null) {
  switch (reason) {
    case "oom":
      return t(
        "The run ran out of memory. A smaller batch, gradient checkpointing or a lower resolution may fit.",
      );
    case "lost":
      return t("The box stopped reporting. The run continues if the box returns.");
    case "preempted":
      return t("The box was taken away during the run.");
    default:
      return t("The run ended with an error.");
  }
}
