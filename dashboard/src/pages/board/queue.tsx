import { useInfiniteQuery, useQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { dateTime, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { useBoardVersion } from "../../live.ts";
import { useRefresh } from "../../queries.ts";
import { useAddress } from "../../state.ts";
import { RowButton } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Segments, TextField } from "../../ui/form.tsx";
import { Empty, Loaded, ShowMore } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { attempt, toast } from "../../ui/toast.tsx";
import { ownsNamed, useWho } from "../../who.ts";
import { Groups } from "./groups.tsx";
import { Asks, Fit, type Lanes, LanesPanel } from "./lanes.tsx";
import { keys, lanesQuery, queueQuery } from "./queries.ts";
import { splitLabels } from "./text.ts";

type Waiting = InferResponseType<typeof api.queue.$get, 200>["items"][number];

const statusTexts: Record<string, Text> = {
  pending: "Waiting",
  running: "Running",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** Waiting runs in order with the reason of each, and the progress of sweeps. */
export function Queue() {
  const me = useWho();
  const { params, change } = useAddress();
  const mine = params.get("of") === "me";
  const boardVersion = useBoardVersion();
  const ask = useRefresh();
  const [changing, setChanging] = useState<Waiting | null>(null);
  const queue = useInfiniteQuery(queueQuery(mine, boardVersion));
  const lanes = useQuery(lanesQuery(boardVersion));
  const may = (item: Waiting) => me.scopes.includes("tasks:write") && ownsNamed(me, item.user);
  const refresh = () => ask(keys.queue, keys.lanes, keys.groups);
  const cancel = (id: number) =>
    attempt(async () => {
      await read(api.tasks[":id"].cancel.$post({ param: { id: String(id) } }));
      await refresh();
    }, t("Taken out of the queue"));
  const retry = (id: number) =>
    attempt(async () => {
      await read(api.tasks[":id"].retry.$post({ param: { id: String(id) } }));
      await refresh();
    }, t("The run waits for a box again"));
  const line = (items: Waiting[]) => (
    <>
      <section class="panel">
        <header class="wrap">
          <h2 class="grow">{t("Waiting runs, in order")}</h2>
          <Segments
            label={t("Whose")}
            value={mine ? "me" : "all"}
            choose={(of) => change({ of: of === "me" ? of : null })}
            options={[
              ["all", t("Everyone's")],
              ["me", t("Mine")],
            ]}
          />
        </header>
        {items.length === 0 ? (
          <Empty icon="runs" title={t("No run waits")}>
            <p>
              {t(
                "Queue runs with ledger.py queue my_lora.toml; boxes pull them one after another.",
              )}
            </p>
          </Empty>
        ) : (
          <Table
            label={t("Waiting runs")}
            kind="queue"
            heads={[
              [t("Place"), "number"],
              t("Run"),
              [t("User"), "wide-only"],
              [t("Priority"), "number"],
              [t("Asks for"), "wide-only"],
              t("Why it waits"),
              [t("Since"), "wide-only"],
            ]}
            last={t("Actions")}
          >
            {items.map((item) => (
              <tr key={item.task_id}>
                <td class="number faint">{whole(item.position)}</td>
                <td>
                  <Link href={`/runs/${item.task_id}`}>{item.task_name}</Link>
                  {item.attempt > 0 && (
                    <div class="faint">{t("attempt {n}", { n: item.attempt + 1 })}</div>
                  )}
                </td>
                <td class="wide-only">{item.user}</td>
                <td class="number">{item.priority}</td>
                <td class="wide-only">
                  <Asks labels={item.labels} memory={item.min_gpu_memory_gb} />
                </td>
                <td class="why">
                  <Why item={item} lanes={lanes.data} retry={retry} may={may(item)} />
                </td>
                <td class="wide-only">
                  <Ago at={item.created_at} />
                </td>
                <td class="right">
                  {may(item) && (
                    <span class="row">
                      <RowButton
                        text={t("Change")}
                        name={t("Change {name}", { name: item.task_name })}
                        act={() => setChanging(item)}
                      />
                      <RowButton
                        text={t("Cancel")}
                        name={t("Cancel {name}", { name: item.task_name })}
                        danger
                        act={() => cancel(item.task_id)}
                      />
                    </span>
                  )}
                </td>
              </tr>
            ))}
          </Table>
        )}
        <ShowMore query={queue} />
      </section>
      <Loaded query={lanes} lines={0}>
        {(known) => <LanesPanel lanes={known} />}
      </Loaded>
      <Groups boardVersion={boardVersion} />
      {changing && <Change item={changing} close={() => setChanging(null)} changed={refresh} />}
    </>
  );
  return (
    <Loaded query={queue} lines={10}>
      {line}
    </Loaded>
  );
}

const same = (a: string[], b: string[]) => a.length === b.length && a.every((x, n) => x === b[n]);

function Why(props: {
  item: Waiting;
  lanes: Lanes | undefined;
  may: boolean;
  retry: (id: number) => void;
}) {
  const { item, lanes } = props;
  const { not_before, tasks } = item.waits_for;
  if (not_before && Date.parse(not_before) > Date.now())
    return <span>{t("not before {time}", { time: dateTime(not_before) })}</span>;
  if (tasks.length > 0)
    return (
      <span class="row wrap">
        {tasks.map(({ task_id, status }) => {
          const stuck = status !== "pending" && status !== "running";
          const text = statusTexts[status ?? ""];
          return (
            <span key={task_id} class={stuck ? "row bad-text" : "row"}>
              <span>
                {t("after run")} <Link href={`/runs/${task_id}`}>{task_id}</Link> (
                {text ? t(text) : t("deleted")})
              </span>
              {stuck && status !== null && props.may && (
                <button
                  type="button"
                  class="button small"
                  aria-label={t("Retry run {id}", { id: task_id })}
                  onClick={() => props.retry(task_id)}
                >
                  {t("Retry")}
                </button>
              )}
            </span>
          );
        })}
      </span>
    );
  const lane = lanes?.items.find(
    (one) =>
      one.user === item.user &&
      one.min_gpu_memory_gb === item.min_gpu_memory_gb &&
      same(one.labels, item.labels),
  );
  return lane && lanes ? <Fit lane={lane} lanes={lanes} /> : <span>{t("ready")}</span>;
}

/** Changes the priority and requirements of a waiting run. */
function Change(props: { item: Waiting; close: () => void; changed: () => Promise<unknown> }) {
  const { item } = props;
  const [priority, setPriority] = useState(String(item.priority));
  const [labels, setLabels] = useState(item.labels.join(", "));
  const [memory, setMemory] = useState(String(item.min_gpu_memory_gb));
  return (
    <Ask
      title={item.task_name}
      submit={t("Save")}
      close={props.close}
      send={async () => {
        const json = {
          priority: Number(priority),
          labels: splitLabels(labels),
          min_gpu_memory_gb: Number(memory),
        };
        const param = { id: String(item.task_id) };
        await read(api.tasks[":id"].requeue.$post({ param, json }));
        await props.changed();
        props.close();
        toast(t("Changed"));
      }}
    >
      <TextField
        label={t("Priority")}
        type="number"
        step={1}
        required
        value={priority}
        change={setPriority}
      />
      <p class="muted">
        {t("A higher priority comes first among a user's own runs; users take turns.")}
      </p>
      <TextField
        label={t("Required labels, separated by commas")}
        value={labels}
        change={setLabels}
      />
      <TextField
        label={t("Minimum GPU memory in GB")}
        type="number"
        min={0}
        max={10_000}
        required
        value={memory}
        change={setMemory}
      />
    </Ask>
  );
}
