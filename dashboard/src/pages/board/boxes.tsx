import { useQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, expectSuccess, read } from "../../api.ts";
import { duration, money, progressOf, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { useBoardVersion, useChanges } from "../../live.ts";
import { useRefresh } from "../../queries.ts";
import { useAddress } from "../../state.ts";
import { NewButton, RowButton } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { Ago, Meter } from "../../ui/figure.tsx";
import { Check } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { StatusBadge } from "../../ui/status.tsx";
import { Scroll } from "../../ui/table.tsx";
import { toast } from "../../ui/toast.tsx";
import { mayWrite, useUserNames, useWho } from "../../who.ts";
import { Enrol } from "./enrol.tsx";
import { boxesQuery, boxRunsQuery, keys } from "./queries.ts";
import { isSilent } from "./silent.ts";

type Box = InferResponseType<typeof api.boxes.$get, 200>["items"][number];
type BoxTask = Box["tasks"][number];

/** Every enrolled machine with its work, offers and costs. */
export function Boxes() {
  const me = useWho();
  const { params, change } = useAddress();
  const revoked = params.get("revoked") === "true";
  const boardVersion = useBoardVersion();
  const ask = useRefresh();
  const names = useUserNames();
  const [enrolling, setEnrolling] = useState(false);
  const [revoking, setRevoking] = useState<Box | null>(null);
  const [moving, setMoving] = useState<BoxTask | null>(null);
  const boxes = useQuery(boxesQuery(revoked, boardVersion));
  const refresh = () => ask(keys.boxes);
  const may = me.scopes.includes("tasks:write") && me.scopes.includes("weights:write");
  return (
    <>
      <div class="row wrap">
        <Check
          label={t("Show revoked boxes")}
          checked={revoked}
          change={(checked) => change({ revoked: checked ? "true" : null })}
        />
        <span class="muted grow">
          {t("Machines with an ordinary key appear under Now while they run something.")}
        </span>
        {may && <NewButton label={t("Enrol a box")} make={() => setEnrolling(true)} />}
      </div>
      <Loaded query={boxes} lines={8}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty icon="box" title={t("No boxes are enrolled")}>
              <p>
                {t(
                  "Enrol a box: paste a line on it, and it pulls the runs you queue, with a key of its own that you can revoke.",
                )}
              </p>
            </Empty>
          ) : (
            <ul class="box-grid">
              {items.map((box) => (
                <li key={box.id} class="panel box-card">
                  <BoxCard
                    box={box}
                    owner={names.get(box.user_id) ?? String(box.user_id)}
                    move={setMoving}
                    revoke={
                      may && (me.role === "admin" || me.user_id === box.user_id)
                        ? () => setRevoking(box)
                        : null
                    }
                  />
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      {boxes.data && !boxes.data.complete && (
        <p class="muted">
          {t("These boxes ran more runs than the sums include; the sums are too low.")}
        </p>
      )}
      {enrolling && <Enrol close={() => setEnrolling(false)} />}
      {revoking && (
        <Ask
          title={t("Revoke {name}?", { name: revoking.name })}
          submit={t("Revoke")}
          close={() => setRevoking(null)}
          send={async () => {
            await expectSuccess(api.boxes[":id"].$delete({ param: { id: String(revoking.id) } }));
            setRevoking(null);
            toast(t("Revoked"));
            await refresh();
          }}
        >
          <p class="muted">
            {t(
              "The box's key stops within 30 seconds. Its runs return to the queue for another box. Stop the machine itself where you rented it.",
            )}
          </p>
        </Ask>
      )}
      {moving && (
        <Ask
          title={t("Give {name} to another box?", { name: moving.task_name })}
          submit={t("Put back")}
          close={() => setMoving(null)}
          send={async () => {
            const param = { id: String(moving.task_id) };
            await read(api.tasks[":id"].requeue.$post({ param, json: {} }));
            setMoving(null);
            toast(t("The run waits for a box again"));
            await refresh();
          }}
        >
          <p class="muted">
            {t(
              "The run returns to the queue. Its box stops at its next report; another box continues from the uploaded state.",
            )}
          </p>
        </Ask>
      )}
    </>
  );
}

function stateOf(box: Box) {
  if (box.revoked_at) return { badge: "failed", text: t("revoked") };
  if (box.key_expires_at && Date.parse(box.key_expires_at) < Date.now())
    return { badge: "failed", text: t("key expired") };
  if (isSilent(box.last_seen_at)) return { badge: "failed", text: t("silent") };
  return box.tasks.length > 0
    ? { badge: "running", text: t("at work") }
    : { badge: "success", text: t("idle") };
}

/** Hours of this day (UTC) between its enrolment, or midnight, and its last sign of life. */
function upToday(box: Box) {
  const midnight = new Date().setUTCHours(0, 0, 0, 0);
  const until = Math.min(
    Date.parse(box.last_seen_at),
    box.revoked_at ? Date.parse(box.revoked_at) : Number.POSITIVE_INFINITY,
  );
  return Math.max(0, (until - Math.max(midnight, Date.parse(box.enrolled_at))) / 3_600_000);
}

function BoxCard(props: {
  box: Box;
  owner: string;
  revoke: (() => void) | null;
  move: (task: BoxTask) => void;
}) {
  const { box } = props;
  const [open, setOpen] = useState(false);
  const state = stateOf(box);
  const facts: [string, preact.ComponentChildren][] = [
    [t("GPU"), box.gpu_info ?? t("unknown")],
    [
      t("Offers"),
      box.labels === null ? (
        t("has not asked for a run yet")
      ) : (
        <span class="labels">
          {box.labels.map((label) => (
            <span key={label} class="label">
              {label}
            </span>
          ))}
          {box.gpu_memory_gb ? <span class="label">{whole(box.gpu_memory_gb)} GB</span> : null}
          {box.labels.length === 0 && !box.gpu_memory_gb && t("no labels")}
        </span>
      ),
    ],
    [t("Runs for"), box.shared ? t("everyone") : props.owner],
    [t("Last seen"), <Ago key="seen" at={box.last_seen_at} />],
    [
      t("Price"),
      box.hourly_price === null
        ? t("no price")
        : t("{price} an hour", { price: money(box.hourly_price) }),
    ],
    [
      t("Today"),
      box.hourly_price === null
        ? t("{n} runs, {time}", { n: box.runs_today, time: duration(box.hours_today * 3600) })
        : t("{paid}, of it {runs} for {n} runs", {
            paid: money(box.hourly_price * upToday(box)),
            runs: money(box.runs_cost_today ?? 0),
            n: box.runs_today,
          }),
    ],
  ];
  return (
    <>
      <div class="row">
        <Icon name="box" />
        <h2 class="grow clip">{box.name}</h2>
        <span class={`badge ${state.badge}`}>
          <span class={`dot ${state.badge}`} />
          {state.text}
        </span>
      </div>
      <dl class="box-facts">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {box.tasks.length > 0 && (
        <ul class="stack">
          {box.tasks.map((task) => (
            <TaskCard key={task.task_id} task={task} move={props.move} />
          ))}
        </ul>
      )}
      <div class="row">
        <button
          type="button"
          class="button small"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          {t("Runs ({n})", { n: whole(box.runs) })}
        </button>
        {box.runs_cost !== null && (
          <span class="muted">{t("cost {cost}", { cost: money(box.runs_cost) })}</span>
        )}
        <span class="grow" />
        {props.revoke && box.revoked_at === null && (
          <RowButton
            text={t("Revoke")}
            name={t("Revoke {name}", { name: box.name })}
            danger
            act={props.revoke}
          />
        )}
      </div>
      {open && <RunsOf id={box.id} name={box.name} />}
    </>
  );
}

function TaskCard({ task, move }: { task: BoxTask; move: (task: BoxTask) => void }) {
  const me = useWho();
  const now = useChanges().data?.running.find(({ id }) => id === task.task_id);
  const progress = now ? progressOf(now) : null;
  const load = task.gpu["gpu.0.util"];
  return (
    <li class="run-card">
      <span class="row">
        <span class="dot running" />
        <Link class="grow clip" href={`/runs/${task.task_id}`}>
          {task.task_name}
        </Link>
        <span class="faint clip">{task.agent}</span>
      </span>
      {progress && <Meter share={progress.share} kind="running" label={t("Progress")} />}
      <span class="row faint">
        <span class="grow">
          {progress?.left != null
            ? t("about {time} left", { time: duration(progress.left) })
            : t("since {time}", { time: duration((Date.now() - Date.parse(task.since)) / 1000) })}
          {typeof load === "number" && ` · ${t("GPU at {n}%", { n: whole(load) })}`}
        </span>
        {now && mayWrite(me, now.user_id) && (
          <button
            type="button"
            class="button small"
            aria-label={t("Put back {name}", { name: task.task_name })}
            onClick={() => move(task)}
          >
            <Icon name="again" />
            {t("Put back")}
          </button>
        )}
      </span>
    </li>
  );
}

/** Runs of a box, the latest first. */
function RunsOf({ id, name }: { id: number; name: string }) {
  const boardVersion = useBoardVersion();
  return (
    <Loaded query={useQuery(boxRunsQuery(id, boardVersion))}>
      {({ items, next_cursor }) =>
        items.length === 0 ? (
          <p class="faint">{t("This box has run nothing yet.")}</p>
        ) : (
          <Scroll label={t("Runs of {name}", { name })} class="box-runs">
            <table class="plain">
              <tbody>
                {items.map((run) => (
                  <tr key={`${run.task_id} ${run.attempt}`}>
                    <td>
                      <Link href={`/runs/${run.task_id}`}>{run.task_name}</Link>
                      {run.attempt > 1 && (
                        <span class="faint"> {t("attempt {n}", { n: run.attempt })}</span>
                      )}
                    </td>
                    <td>
                      <StatusBadge status={run.status} reason={run.failure_reason} />
                    </td>
                    <td class="number">{duration(run.duration_sec)}</td>
                    <td class="number">{run.cost === null ? "" : money(run.cost)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
            {next_cursor && (
              <p class="faint">{t("The newest {n} are shown.", { n: items.length })}</p>
            )}
          </Scroll>
        )
      }
    </Loaded>
  );
}
