import { keepPreviousData, useQuery } from "@tanstack/preact-query";
import { useEffect, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { queryText } from "../../../../src/shared/view-query.ts";
import { api, expectSuccess, Problem, read } from "../../api.ts";
import { duration, progressOf, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { useChanges } from "../../live.ts";
import { keys, taskQuery, useRefresh } from "../../queries.ts";
import { useAddress } from "../../state.ts";
import type { Task } from "../../types.ts";
import { Copy } from "../../ui/button.tsx";
import { Dialog } from "../../ui/dialog.tsx";
import { Ago, Meter } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { Menu } from "../../ui/menu.tsx";
import { NanBadge, StatusBadge } from "../../ui/status.tsx";
import { attempt } from "../../ui/toast.tsx";
import { mayWrite, useUserNames, useWho } from "../../who.ts";
import { Config } from "./config.tsx";
import { Curves } from "./curves.tsx";
import { Data } from "./data.tsx";
import { Facts, Notes, Tags } from "./facts.tsx";
import { Files } from "./files.tsx";
import { History } from "./history.tsx";
import { Parameters } from "./parameters.tsx";
import { Samples } from "./samples.tsx";
import { System } from "./system.tsx";

const tabs = [
  ["overview", "Overview"],
  ["parameters", "Parameters"],
  ["config", "Config"],
  ["data", "Data"],
  ["samples", "Samples"],
  ["system", "System"],
  ["files", "Files"],
  ["history", "History"],
] as const satisfies readonly (readonly [string, Text])[];

export function Run({ id }: { id: number }) {
  const { params } = useAddress();
  const tab = tabs.find(([name]) => name === params.get("tab"))?.[0] ?? "overview";
  useChanges(Number.isSafeInteger(id) && id > 0 ? [id] : []);
  const query = useQuery({
    ...taskQuery(id),
    meta: { live: { runs: [id] } },
    placeholderData: keepPreviousData,
  });
  const task = query.data;
  useEffect(() => {
    if (task) document.title = `${task.task_name} · LoRA Ledger`;
  }, [task?.task_name]);

  const missing = (error: unknown) =>
    error instanceof Problem && error.status === 404 ? (
      <Empty icon="search" title={t("There is no run {id}", { id })}>
        <p>{t("The run may have been purged, or the link is wrong.")}</p>
        <Link class="button" href="/runs">
          {t("To the runs")}
        </Link>
      </Empty>
    ) : undefined;
  return (
    <div class="page run">
      <Loaded query={query} lines={8} failed={missing}>
        {(run) => <Parts task={run} tab={tab} />}
      </Loaded>
    </div>
  );
}

/** One part of the run below its head. */
function Parts({ task, tab }: { task: Task; tab: (typeof tabs)[number][0] }) {
  const { id } = task;
  const { params } = useAddress();
  // The tabs keep what else stands in the address, such as how the curves are looked at.
  const hrefOf = (name: string) => {
    const next = new URLSearchParams(params);
    if (name === "overview") next.delete("tab");
    else next.set("tab", name);
    const text = queryText(next);
    return `/runs/${id}${text && `?${text}`}`;
  };
  return (
    <>
      <Head task={task} />
      <nav class="tabs" aria-label={t("Parts of this run")}>
        {tabs.map(([name, text]) => (
          <Link key={name} href={hrefOf(name)} aria-current={tab === name ? "page" : undefined}>
            {t(text)}
          </Link>
        ))}
      </nav>
      {tab === "overview" && (
        <div class="run-overview">
          <div class="stack">
            <Curves task={task} />
            <Samples task={task} brief />
          </div>
          <div class="stack">
            <Facts task={task} />
            <Tags task={task} />
            <Notes task={task} />
          </div>
        </div>
      )}
      {tab === "parameters" && <Parameters task={task} />}
      {tab === "config" && <Config task={task} />}
      {tab === "data" && <Data task={task} />}
      {tab === "samples" && <Samples task={task} />}
      {tab === "system" && <System task={task} />}
      {tab === "files" && <Files task={task} />}
      {tab === "history" && <History task={task} />}
    </>
  );
}

/** The line that repeats the run on any box with Python. */
const reproduceCommand = (id: number) =>
  `curl -fsS ${location.origin}/client.py -o ledger.py && LEDGER_URL=${location.origin} LEDGER_KEY=… python3 ledger.py reproduce ${id}`;

function Head({ task }: { task: Task }) {
  const me = useWho();
  const refresh = useRefresh();
  const [, go] = useLocation();
  const names = useUserNames();
  const [asking, setAsking] = useState<"cancel" | "delete" | null>(null);
  const param = { id: String(task.id) };
  const may = mayWrite(me, task.user_id);
  const fresh = () => refresh(keys.task(task.id));
  const progress = progressOf(task);
  const alive = task.status === "running" || task.status === "pending";
  const last = task.attempts[0];
  const parent = task.parent_task_id;

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
        {may && !task.deleted_at && (task.status === "failed" || task.status === "cancelled") && (
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
            <span class="grow" />
            {progress.left !== null && (
              <span class="muted">{t("about {time} left", { time: duration(progress.left) })}</span>
            )}
          </p>
        </div>
      )}
      {task.status === "failed" && (
        <div class="note bad">
          <Icon name="warn" />
          <div class="grow stack">
            <p>{task.error_message || failureText(task.failure_reason)}</p>
            {last?.tail && (
              <pre class="code inline tail">{last.tail.split("\n").slice(-8).join("\n")}</pre>
            )}
          </div>
        </div>
      )}
      {asking && (
        <Dialog
          title={asking === "cancel" ? t("Cancel this run?") : t("Delete this run?")}
          close={() => setAsking(null)}
        >
          <p class="muted">
            {asking === "delete"
              ? t("The run moves to the trash, where it can be restored.")
              : task.status === "running"
                ? t("The box stops the trainer at its next report. Recorded data stay.")
                : t("The run has not started and never will.")}
          </p>
          <div class="actions">
            <button type="button" class="button" onClick={() => setAsking(null)}>
              {t("Back")}
            </button>
            <button
              type="button"
              class="button primary"
              onClick={() =>
                attempt(
                  async () => {
                    setAsking(null);
                    if (asking === "cancel") {
                      await read(api.tasks[":id"].cancel.$post({ param }));
                      await fresh();
                    } else {
                      await expectSuccess(api.tasks[":id"].$delete({ param }));
                      go("/runs");
                    }
                  },
                  asking === "cancel" ? t("The run was asked to stop") : t("In the trash"),
                )
              }
            >
              {asking === "cancel" ? t("Cancel run") : t("Delete")}
            </button>
          </div>
        </Dialog>
      )}
    </header>
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
