import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import { gpuFigureOf } from "../../../../src/shared/system-metrics.ts";
import { Chart } from "../../chart/chart.tsx";
import type { XAxis } from "../../chart/curves.ts";
import { measure, short } from "../../format.ts";
import { currentLanguage, t } from "../../i18n.ts";
import type { Curve, Task } from "../../types.ts";
import { Empty, Loaded } from "../../ui/loading.tsx";
import {
  type Group,
  groupLines,
  groupsOf,
  lastOf,
  systemNames,
  systemNamesQuery,
  systemQuery,
} from "./system-series.ts";

/** The machine while the run was under way: processor, memory, disks, network and GPUs. */
export function System({ task }: { task: Task }) {
  const first = useQuery(systemNamesQuery(task.id));
  const all = first.data?.metrics;
  const names = useMemo(() => (all ? systemNames(all) : []), [all]);
  const curves = useQuery({ ...systemQuery(task.id, names), enabled: names.length > 0 });
  return (
    <Loaded query={first} lines={8}>
      {() =>
        names.length === 0 ? (
          <Empty icon="runs" title={t("No figures of the machine")}>
            <p>{whyNone(task)}</p>
          </Empty>
        ) : (
          <Loaded query={curves} lines={8}>
            {(found) => <Panels task={task} names={names} curves={found} />}
          </Loaded>
        )
      }
    </Loaded>
  );
}

/** Why a run has no figures, as far as the ledger can tell. */
const whyNone = (task: Task) =>
  task.status === "pending"
    ? t("The box samples its machine once the run has begun.")
    : task.status === "running"
      ? t("The first figures come one heartbeat after the first step. Older clients send none.")
      : t(
          "The run ended within its first heartbeats, or an older client or another program reported it: these sample no machine.",
        );

function Panels(props: { task: Task; names: string[]; curves: Map<string, Curve> }) {
  const { task, names, curves } = props;
  const language = currentLanguage();
  const groups = useMemo(() => groupsOf(names), [names, language]);
  const hasTimes = [...curves.values()].some(({ points }) => points.some(([, , time]) => time));
  const axis = hasTimes ? "time" : "step";
  const hasGpus = names.some((name) => gpuFigureOf(name));
  const hasMachine = names.some((name) => !gpuFigureOf(name));
  return (
    <div class="stack">
      <Latest task={task} names={names} curves={curves} />
      {!hasGpus && (
        <p class="muted">
          {t(
            "No GPU: none of nvidia-smi, amd-smi, rocm-smi, npu-smi and ioreg showed one to the client.",
          )}
        </p>
      )}
      {!hasMachine && (
        <p class="muted">{t("The GPUs alone: an older client recorded this run.")}</p>
      )}
      <div class="system-charts">
        {groups.map((group) => (
          <Panel key={group.title} group={group} curves={curves} axis={axis} task={task} />
        ))}
      </div>
    </div>
  );
}

/** To a tenth: a figure of the machine is read at a glance. */
const about = (value: number) => short(Math.round(value * 10) / 10);
const gib = (mib: number) => `${about(mib / 1024)} GiB`;

/** The last value of each figure; of several GPUs the mean of their utilisation. */
function Latest(props: { task: Task; names: string[]; curves: Map<string, Curve> }) {
  const { task, names, curves } = props;
  const last = (name: string) => lastOf(curves, name);
  const loads = names.flatMap((name) =>
    gpuFigureOf(name)?.figure === "util" ? (last(name) ?? []) : [],
  );
  const mean = loads.length ? loads.reduce((sum, load) => sum + load, 0) / loads.length : null;
  const percent = (value: number) => `${Math.round(value)}%`;
  const [cpu, memory, disk] = [last("sys.cpu"), last("sys.mem_mb"), last("sys.disk_free_gb")];
  const [into, out] = [last("sys.net_in_mb_s"), last("sys.net_out_mb_s")];
  const figures: [string, string | null][] = [
    [t("GPU utilisation"), mean === null ? null : percent(mean)],
    [t("Processor"), cpu === null ? null : percent(cpu)],
    [t("Memory"), memory === null ? null : gib(memory)],
    [t("Disk left"), disk === null ? null : `${about(disk)} GiB`],
    [t("Network"), into === null || out === null ? null : `↓ ${about(into)} ↑ ${about(out)} MB/s`],
  ];
  return (
    <section
      class="panel"
      aria-label={task.status === "running" ? t("Machine now") : t("Machine at the end")}
    >
      <dl class="figures">
        {figures.map(
          ([name, value]) =>
            value !== null && (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ),
        )}
      </dl>
    </section>
  );
}

/** The memory of each GPU in MiB, as the box told it when the run was registered. */
function gpuMemory(task: Task): number[] {
  const node: unknown = task.node_info;
  const gpus: unknown = typeof node === "object" && node ? Reflect.get(node, "gpus") : null;
  if (!Array.isArray(gpus)) return [];
  return gpus.flatMap((one: unknown) => {
    const size: unknown = typeof one === "object" && one ? Reflect.get(one, "memory_mb") : null;
    return typeof size === "number" ? size : [];
  });
}

/** "of 64 GiB": how much memory there is at all; empty where nobody told it. */
function totalOf(group: Group, task: Task, curves: Map<string, Curve>): string {
  if (group.title === "Memory") {
    const total = lastOf(curves, "sys.mem_total_mb");
    return total === null ? "" : t("of {total}", { total: gib(total) });
  }
  if (group.title !== "GPU memory") return "";
  const sizes = [...new Set(gpuMemory(task).map(gib))];
  return sizes.length ? t("of {total}", { total: sizes.join(", ") }) : "";
}

function Panel(props: { group: Group; curves: Map<string, Curve>; axis: XAxis; task: Task }) {
  const { group, curves, axis, task } = props;
  const lines = useMemo(() => groupLines(group, curves, axis), [group, curves, axis]);
  const total = totalOf(group, task, curves);
  const said = lines.map(({ label, points }) =>
    t("{metric}: last value {last}, highest {high}", {
      metric: label,
      last: measure(points.findLast(([, y]) => y !== null)?.[1]) || "–",
      high: measure(points.reduce((most, [, y]) => Math.max(most, y ?? most), 0)),
    }),
  );
  return (
    <section class="panel" aria-label={t(group.title)}>
      <header>
        <h2>{t(group.title)}</h2>
        <span class="faint">{total}</span>
      </header>
      <div class="body">
        <Chart
          lines={lines}
          axis={axis}
          log={false}
          all
          height={150}
          title={group.unit}
          name={t(group.title)}
          file={`run-${task.id}-${t(group.title)}`}
          summary={`${t(group.title)} (${group.unit}). ${said.join("; ")}`}
        />
      </div>
    </section>
  );
}
