import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { duration, progressOf } from "../../format.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import type { Board as Answer } from "../../types.ts";
import { Ago, Meter } from "../../ui/figure.tsx";
import { Segments } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { statusText } from "../../ui/status.tsx";
import { attempt } from "../../ui/toast.tsx";
import { ownsNamed, useWho } from "../../who.ts";
import { boardQuery, keys } from "./queries.ts";

type Running = Answer["running"][number];

/** Running, waiting and failed runs at a glance. */
export function Now() {
  return (
    <Loaded query={useQuery(boardQuery)} lines={10}>
      {(data) => <Glance data={data} />}
    </Loaded>
  );
}

function Glance({ data }: { data: Answer }) {
  const me = useWho();
  const refresh = useRefresh();
  const [by, setBy] = useState<"hostname" | "user">("hostname");
  const retry = (id: number) =>
    attempt(async () => {
      await read(api.tasks[":id"].retry.$post({ param: { id: String(id) } }));
      await refresh(keys.board);
    }, t("The run waits for a box again"));
  const figures = [
    [t("Running"), data.running.length, "running", "/runs?status=running"],
    [t("Waiting"), data.waiting.length, "pending", "/runs?status=pending"],
    [t("Failed in 24 hours"), data.failed.length, "failed", "/runs?status=failed"],
    [t("Succeeded in 24 hours"), data.succeeded, "success", "/runs?status=success"],
  ] as const;
  const groups = Map.groupBy(data.running, (run) => run[by] ?? "");
  return (
    <>
      <ul class="tiles">
        {figures.map(([name, count, status, href]) => (
          <li key={status}>
            <Link href={href} class={`panel tile ${count ? status : "none"}`}>
              <span class="row muted">
                <span class={`dot ${status}`} />
                {name}
              </span>
              <b>{count >= 100 ? "100+" : count}</b>
            </Link>
          </li>
        ))}
      </ul>
      <section class="panel" aria-label={t("Running")}>
        <header class="wrap">
          <h2 class="grow">{t("Running now")}</h2>
          <Segments
            label={t("Arranged by")}
            value={by}
            choose={setBy}
            options={[
              ["hostname", t("By box")],
              ["user", t("By user")],
            ]}
          />
        </header>
        {data.running.length === 0 ? (
          <Empty icon="play" title={t("No run is running")}>
            <p>{t("Runs appear here as soon as a box reports.")}</p>
          </Empty>
        ) : (
          <div class="lanes">
            {[...groups].map(([name, runs]) => (
              <div key={name} class="lane">
                <h3 class="row">
                  <Icon name={by === "user" ? "user" : "box"} />
                  <span class="clip">{name || t("unknown")}</span>
                  <span class="faint clip">{by === "hostname" && runs[0]?.gpu_info}</span>
                </h3>
                <ul class="stack">
                  {runs.map((run) => (
                    <RunCard
                      key={run.id}
                      run={run}
                      aside={by === "user" ? run.hostname : run.user}
                    />
                  ))}
                </ul>
              </div>
            ))}
          </div>
        )}
      </section>
      <div class="board-columns">
        <section class="panel" aria-label={t("Failures")}>
          <header>
            <h2 class="grow">{t("Failed in 24 hours")}</h2>
          </header>
          {data.failed.length === 0 ? (
            <Empty icon="check" title={t("Nothing failed")} />
          ) : (
            <ul class="failures">
              {data.failed.map((run) => (
                <li key={run.id}>
                  <details>
                    <summary>
                      <Icon name="right" />
                      <span class="grow">
                        <span class="row">
                          <b class="clip">{run.task_name}</b>
                          <span class="badge failed">
                            {statusText("failed", run.failure_reason)}
                          </span>
                        </span>
                        <span class="muted clip failure-text">{run.error_message}</span>
                      </span>
                      <span class="faint">
                        <Ago at={run.finished_at} />
                      </span>
                    </summary>
                    <pre class="code inline tail">{run.tail || t("No console output.")}</pre>
                    <p class="row">
                      <Link class="button small" href={`/runs/${run.id}`}>
                        {t("Open the run")}
                      </Link>
                      {run.queued &&
                        me.scopes.includes("tasks:write") &&
                        ownsNamed(me, run.user) && (
                          <button
                            type="button"
                            class="button small"
                            aria-label={t("Retry {name}", { name: run.task_name })}
                            onClick={() => retry(run.id)}
                          >
                            <Icon name="again" />
                            {t("Retry")}
                          </button>
                        )}
                    </p>
                  </details>
                </li>
              ))}
            </ul>
          )}
        </section>
        <section class="panel" aria-label={t("Waiting")}>
          <header>
            <h2 class="grow">{t("Waiting runs")}</h2>
            <Link class="button small" href="/board/queue">
              {t("To the queue")}
            </Link>
          </header>
          {data.waiting.length === 0 ? (
            <Empty icon="runs" title={t("No run waits")} />
          ) : (
            <ul class="waiting">
              {data.waiting.map((run) => (
                <li key={run.id} class="row">
                  <span class="dot pending" />
                  <Link class="grow clip" href={`/runs/${run.id}`}>
                    {run.task_name}
                  </Link>
                  <span class="muted clip">{run.user}</span>
                </li>
              ))}
            </ul>
          )}
        </section>
      </div>
    </>
  );
}

function RunCard({ run, aside }: { run: Running; aside: string | null }) {
  const progress = progressOf(run);
  return (
    <li class="run-card">
      <span class="row">
        <span class="dot running" />
        <Link class="grow clip" href={`/runs/${run.id}`}>
          {run.task_name}
        </Link>
        <span class="faint clip">{aside}</span>
      </span>
      {progress && <Meter share={progress.share} kind="running" label={t("Progress")} />}
      <span class="row faint">
        <span>{progress ? `${Math.floor(progress.share * 100)}%` : t("no progress reported")}</span>
        <span class="grow" />
        {progress?.left != null
          ? t("about {time} left", { time: duration(progress.left) })
          : run.heartbeat_at && <Ago at={run.heartbeat_at} />}
      </span>
    </li>
  );
}
