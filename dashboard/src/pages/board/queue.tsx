import {
  keepPreviousData,
  useInfiniteQuery,
  useQuery,
  useQueryClient,
} from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { dateTime, measure, money, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { useStanding } from "../../live.ts";
import { useAddress } from "../../state.ts";
import { Icon } from "../../ui/icon.tsx";
import { Ago, Dialog, Empty, Scroll, Segments, Skeleton, Trouble } from "../../ui/parts.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { silent } from "./silent.ts";
import { runsWhere } from "./where.ts";

type Waiting = InferResponseType<typeof api.queue.$get, 200>["items"][number];
type Lanes = InferResponseType<typeof api.queue.lanes.$get, 200>;
type Lane = Lanes["items"][number];
type Group = InferResponseType<typeof api.queue.groups.$get, 200>["items"][number];

const PAGE = 100;

const statusTexts: Record<string, Text> = {
  pending: "Waiting",
  running: "Running",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** What waits for a box, where in line and why; how far sweeps are. */
export function Queue() {
  const me = useWho();
  const { params, change } = useAddress();
  const mine = params.get("of") === "me";
  const standing = useStanding();
  const client = useQueryClient();
  const [changing, setChanging] = useState<Waiting | null>(null);
  const queue = useInfiniteQuery({
    queryKey: ["queue", mine, standing],
    enabled: standing !== null,
    placeholderData: keepPreviousData,
    initialPageParam: "",
    getNextPageParam: (last: { next_cursor: string | null }) => last.next_cursor,
    queryFn: ({ pageParam }) =>
      read(
        api.queue.$get({
          query: {
            limit: String(PAGE),
            ...(mine && { user: "me" }),
            ...(pageParam && { cursor: pageParam }),
          },
        }),
      ),
  });
  const lanes = useQuery({
    queryKey: ["lanes", standing],
    enabled: standing !== null,
    placeholderData: keepPreviousData,
    queryFn: () => read(api.queue.lanes.$get()),
  });
  const items = queue.data?.pages.flatMap((page) => page.items);
  if (queue.error && !items)
    return <Trouble error={queue.error} again={() => void queue.refetch()} />;
  if (!items) return <Skeleton lines={10} />;
  const may = (item: Waiting) =>
    me.scopes.includes("tasks:write") && (me.role === "admin" || me.name === item.user);
  const refresh = () =>
    Promise.all(
      ["queue", "lanes", "groups"].map((key) => client.invalidateQueries({ queryKey: [key] })),
    );
  const cancel = (id: number) =>
    attempt(async () => {
      await read(api.tasks[":id"].cancel.$post({ param: { id: String(id) } }));
      await refresh();
    }, t("Taken out of the queue"));
  const retry = (id: number) =>
    attempt(async () => {
      await read(api.tasks[":id"].retry.$post({ param: { id: String(id) } }));
      await refresh();
    }, t("It waits for a box again"));
  return (
    <>
      <section class="panel">
        <header class="wrap">
          <h2 class="grow">{t("What waits, in line")}</h2>
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
          <Empty icon="runs" title={t("Nothing waits")}>
            <p>
              {t(
                "Queue runs with `ledger.py queue my_lora.toml`; boxes pull them one after another.",
              )}
            </p>
          </Empty>
        ) : (
          <Scroll label={t("What waits")}>
            <table class="plain queue">
              <thead>
                <tr>
                  <th class="number">{t("Place")}</th>
                  <th>{t("Run")}</th>
                  <th class="wide-only">{t("User")}</th>
                  <th class="number">{t("Priority")}</th>
                  <th class="wide-only">{t("Asks for")}</th>
                  <th>{t("Why it waits")}</th>
                  <th class="wide-only">{t("Since")}</th>
                  <th>
                    <span class="visually-hidden">{t("What to do")}</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {items.map((item) => (
                  <tr key={item.task_id}>
                    <td class="number faint">{whole(item.position)}</td>
                    <td>
                      <Link href={`/runs/${item.task_id}`}>{item.task_name}</Link>
                      {item.attempt > 0 && (
                        <span class="faint"> {t("attempt {n}", { n: item.attempt + 1 })}</span>
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
                          <button
                            type="button"
                            class="button small"
                            aria-label={t("Change {name}", { name: item.task_name })}
                            onClick={() => setChanging(item)}
                          >
                            {t("Change")}
                          </button>
                          <button
                            type="button"
                            class="button small danger"
                            aria-label={t("Cancel {name}", { name: item.task_name })}
                            onClick={() => cancel(item.task_id)}
                          >
                            {t("Cancel")}
                          </button>
                        </span>
                      )}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
        {queue.hasNextPage && (
          <div class="body">
            <button
              type="button"
              class="button small"
              disabled={queue.isFetchingNextPage}
              onClick={() => void queue.fetchNextPage()}
            >
              {t("Show more")}
            </button>
          </div>
        )}
      </section>
      <LanesPanel lanes={lanes.data} error={lanes.error} again={() => void lanes.refetch()} />
      <Groups standing={standing} />
      {changing && <Change item={changing} close={() => setChanging(null)} changed={refresh} />}
    </>
  );
}

/** Labels and memory that a task asks of a box. */
export function Asks({ labels, memory }: { labels: string[]; memory: number }) {
  if (labels.length === 0 && memory === 0) return <span class="faint">{t("any box")}</span>;
  return (
    <span class="labels">
      {labels.map((label) => (
        <span key={label} class="label">
          {label}
        </span>
      ))}
      {memory > 0 && <span class="label">≥ {memory} GB</span>}
    </span>
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

/** Which boxes may take what is ready, or what none of them has. */
function Fit({ lane, lanes }: { lane: Lane; lanes: Lanes }) {
  const fitting = lanes.boxes.filter(({ id }) => lane.boxes.includes(id));
  const live = fitting.filter((box) => !silent(box.last_seen_at));
  const named = (boxes: typeof fitting) =>
    boxes
      .slice(0, 3)
      .map(({ name }) => name)
      .join(", ") + (boxes.length > 3 ? ", …" : "");
  const idle = live.filter((box) => !box.busy);
  if (idle.length > 0)
    return <span>{t("ready: {boxes} may take it next", { boxes: named(idle) })}</span>;
  if (live.length > 0)
    return <span>{t("{boxes} fit, and are at work", { boxes: named(live) })}</span>;
  const [newest] = fitting;
  if (newest)
    return (
      <span class="bad-text">
        {t("{boxes} would fit, but are silent", { boxes: named(fitting) })} (
        <Ago at={newest.last_seen_at} />)
      </span>
    );
  const lacking =
    lane.missing_labels.length > 0
      ? t("no enrolled box offers {labels}", { labels: lane.missing_labels.join(", ") })
      : lane.short_of_memory && lane.min_gpu_memory_gb > 0
        ? t("no enrolled box has {n} GB of GPU memory", { n: lane.min_gpu_memory_gb })
        : lane.short_of_memory
          ? t("no enrolled box runs this user's tasks")
          : t("no enrolled box has all of that together");
  return <span class="bad-text">{lacking}</span>;
}

/** Tasks that ask the same, by user, in the order of their turn. */
function LanesPanel(props: { lanes: Lanes | undefined; error: unknown; again: () => void }) {
  const { lanes } = props;
  if (props.error && !lanes) return <Trouble error={props.error} again={props.again} />;
  if (!lanes || lanes.items.length === 0) return null;
  return (
    <section class="panel">
      <header class="wrap">
        <h2>{t("Whose turn it is")}</h2>
        <span class="muted grow">
          {t(
            "The user with the fewest running first. Agents with an ordinary key are not known here.",
          )}
        </span>
        <Link class="button small" href="/board/boxes">
          {t("To the boxes")}
        </Link>
      </header>
      <Scroll label={t("Whose turn it is")}>
        <table class="plain">
          <thead>
            <tr>
              <th>{t("User")}</th>
              <th class="number">{t("Running")}</th>
              <th>{t("Asks for")}</th>
              <th class="number">{t("Ready")}</th>
              <th class="wide-only">{t("First of them")}</th>
              <th>{t("Boxes")}</th>
            </tr>
          </thead>
          <tbody>
            {lanes.items.map((lane) => (
              <tr key={`${lane.user_id} ${lane.min_gpu_memory_gb} ${lane.labels.join()}`}>
                <td>{lane.user}</td>
                <td class="number">{whole(lane.running)}</td>
                <td>
                  <Asks labels={lane.labels} memory={lane.min_gpu_memory_gb} />
                </td>
                <td class="number">{whole(lane.ready)}</td>
                <td class="wide-only">
                  <Link href={`/runs/${lane.head_task}`}>{lane.head_task}</Link>
                </td>
                <td>
                  <Fit lane={lane} lanes={lanes} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

const shares = ["success", "failed", "cancelled", "running", "waiting"] as const;
const shareTexts: Record<(typeof shares)[number], Text> = {
  success: "Success",
  failed: "Failed",
  cancelled: "Cancelled",
  running: "Running",
  waiting: "Waiting",
};

/** How far sweeps and other groups of queued runs are. */
function Groups({ standing }: { standing: string | null }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["groups", standing],
    enabled: standing !== null,
    placeholderData: keepPreviousData,
    queryFn: () => read(api.queue.groups.$get()),
  });
  if (error && !data) return <Trouble error={error} again={() => void refetch()} />;
  if (!data || data.items.length === 0) return null;
  return (
    <section class="panel" aria-label={t("Sweeps and groups")}>
      <header class="wrap">
        <h2 class="grow">{t("Sweeps and groups")}</h2>
        {!data.complete && (
          <span class="muted">{t("There are more; the newest are counted.")}</span>
        )}
      </header>
      <ul class="groups">
        {data.items.map((group) => (
          <GroupRow key={group.experiment_group} group={group} />
        ))}
      </ul>
    </section>
  );
}

function GroupRow({ group }: { group: Group }) {
  const ended = group.success + group.failed + group.cancelled;
  const counts = shares.filter((name) => group[name] > 0);
  return (
    <li>
      <span class="row wrap">
        <Link class="grow clip" href={runsWhere("experiment_group", group.experiment_group)}>
          {group.experiment_group}
        </Link>
        <span class="muted">
          {t("{n} of {all} ended", { n: whole(ended), all: whole(group.total) })}
        </span>
        {group.best_loss !== null && (
          <span class="muted">{t("best loss {loss}", { loss: measure(group.best_loss) })}</span>
        )}
        {group.cost !== null && (
          <span class="muted">{t("cost {cost}", { cost: money(group.cost) })}</span>
        )}
      </span>
      <span
        class="stacked"
        role="img"
        aria-label={counts.map((name) => `${t(shareTexts[name])}: ${group[name]}`).join(", ")}
      >
        {counts.map((name) => (
          <i
            key={name}
            class={name}
            style={{ flexGrow: group[name] }}
            title={`${t(shareTexts[name])}: ${group[name]}`}
          />
        ))}
      </span>
    </li>
  );
}

/** Changes what decides when and where a waiting run is pulled. */
function Change(props: { item: Waiting; close: () => void; changed: () => Promise<unknown> }) {
  const { item } = props;
  const [priority, setPriority] = useState(String(item.priority));
  const [labels, setLabels] = useState(item.labels.join(", "));
  const [memory, setMemory] = useState(String(item.min_gpu_memory_gb));
  return (
    <Dialog title={item.task_name} close={props.close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(async () => {
            const json = {
              priority: Number(priority),
              labels: labels.split(/[\s,]+/).filter((label) => label !== ""),
              min_gpu_memory_gb: Number(memory),
            };
            await read(
              api.tasks[":id"].requeue.$post({ param: { id: String(item.task_id) }, json }),
            );
            await props.changed();
            props.close();
          }, t("Changed"));
        }}
      >
        <label class="labelled">
          {t("Priority")}
          <input
            class="field"
            type="number"
            step={1}
            required
            value={priority}
            onInput={(event) => setPriority(event.currentTarget.value)}
          />
        </label>
        <p class="muted">
          <Icon name="info" />{" "}
          {t("Higher comes first among one's own runs; between users turns are taken.")}
        </p>
        <label class="labelled">
          {t("Labels that a box must offer, with commas between")}
          <input
            class="field"
            value={labels}
            onInput={(event) => setLabels(event.currentTarget.value)}
          />
        </label>
        <label class="labelled">
          {t("Least GPU memory in GB")}
          <input
            class="field"
            type="number"
            min={0}
            max={10_000}
            required
            value={memory}
            onInput={(event) => setMemory(event.currentTarget.value)}
          />
        </label>
        <div class="actions">
          <button type="button" class="button" onClick={props.close}>
            {t("Back")}
          </button>
          <button type="submit" class="button primary">
            {t("Save")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
