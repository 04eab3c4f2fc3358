import { keepPreviousData, useQuery } from "@tanstack/preact-query";
import { lazy, Suspense } from "preact/compat";
import { Link } from "wouter-preact";
import { queryText } from "../../../../src/shared/view-query.ts";
import { Problem } from "../../api.ts";
import { type Text, t } from "../../i18n.ts";
import { useChanges } from "../../live.ts";
import { taskQuery } from "../../queries.ts";
import { useAddress } from "../../state.ts";
import { useTitle } from "../../title.ts";
import type { Task } from "../../types.ts";
import { Empty, Loaded, Skeleton } from "../../ui/loading.tsx";
import { Config } from "./config.tsx";
import { Curves } from "./curves.tsx";
import { Data } from "./data.tsx";
import { Facts } from "./facts.tsx";
import { Files } from "./files.tsx";
import { Failure, Head } from "./head.tsx";
import { History } from "./history.tsx";
import { Notes } from "./notes.tsx";
import { Parameters } from "./parameters.tsx";
import { Samples } from "./samples.tsx";
import { System } from "./system.tsx";
import { Tags } from "./tags.tsx";

const Console = lazy(() => import("./console.tsx").then((module) => module.Console));

const tabs = [
  ["overview", "Overview"],
  ["console", "Console"],
  ["parameters", "Parameters"],
  ["config", "Config"],
  ["data", "Data"],
  ["samples", "Samples"],
  ["system", "System"],
  ["files", "Files"],
  ["history", "History"],
] as const satisfies readonly (readonly [string, Text])[];

/** The page of an address that names a run, or nothing that could be one. */
export const Run = ({ id }: { id: string }) =>
  /^[1-9]\d{0,14}$/.test(id) ? <RunPage id={Number(id)} /> : <NoRun name={id} />;

function NoRun({ name }: { name: string }) {
  useTitle(t("No such run"));
  return (
    <div class="page">
      <h1 class="visually-hidden">{t("No such run")}</h1>
      <Empty icon="search" title={t("There is no run “{name}”", { name: name.slice(0, 60) })}>
        <p>{t("The run may have been purged, or the link is wrong.")}</p>
        <Link class="button" href="/runs">
          {t("To the runs")}
        </Link>
      </Empty>
    </div>
  );
}

function RunPage({ id }: { id: number }) {
  const { params } = useAddress();
  const tab = tabs.find(([name]) => name === params.get("tab"))?.[0] ?? "overview";
  useChanges([id]);
  const query = useQuery({
    ...taskQuery(id),
    meta: { live: { runs: [id] } },
    placeholderData: keepPreviousData,
  });
  const task = query.data;
  useTitle(task?.task_name ?? "");

  const missing = (error: unknown) =>
    error instanceof Problem && error.status === 404 ? <NoRun name={String(id)} /> : undefined;
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
      <Failure task={task} href={hrefOf("console")} />
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
      {tab === "console" && (
        <Suspense fallback={<Skeleton lines={12} />}>
          <Console key={id} task={task} />
        </Suspense>
      )}
    </>
  );
}
