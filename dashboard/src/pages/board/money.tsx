import { useQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { Link } from "wouter-preact";
import { type api, refusalOf } from "../../api.ts";
import { dateOnly, duration, money, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { Parts } from "../../ui/figure.tsx";
import { Segments } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { both, Empty, Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { FilterBox } from "../runs/filter-box.tsx";
import { costQuery } from "./queries.ts";
import { runsWhere } from "./text.ts";

const groupings = {
  group: { field: "experiment_group", text: "By group" },
  user: { field: "user", text: "By user" },
  box: { field: "node_info.hostname", text: "By box" },
  gpu: { field: "gpu_info", text: "By GPU" },
  week: { field: "week(created_at)", text: "By week" },
} as const satisfies Record<string, { field: string; text: Text }>;
type Grouping = keyof typeof groupings;
const isGrouping = (name: string | null): name is Grouping =>
  name !== null && Object.hasOwn(groupings, name);

const periods = [
  ["7", "7 days"],
  ["30", "30 days"],
  ["90", "90 days"],
  ["all", "All"],
] as const satisfies readonly (readonly [string, Text])[];

type Sum = { runs: number; priced: number; cost: number; failed: number; seconds: number };
const nothing = (): Sum => ({ runs: 0, priced: 0, cost: 0, failed: 0, seconds: 0 });

type Answer = InferResponseType<typeof api.stats.tasks.$get, 200>;
type Item = { group: Record<string, unknown>; values: Record<string, unknown> };

/** Adds the sums of runs of one status. */
function add(sum: Sum, { group, values }: Item) {
  const of = (name: string) => Number(values[name] ?? 0);
  sum.runs += of("count");
  sum.priced += of("count(cost)");
  sum.cost += of("sum(cost)");
  sum.seconds += of("sum(total_duration_sec)");
  if (group.status === "failed") sum.failed += of("sum(cost)");
  return sum;
}

/** Costs of runs by group, user, box, GPU or week. */
export function Money() {
  const { params, change } = useAddress();
  const filter = params.get("filter") ?? "";
  const asked = params.get("by");
  const by: Grouping = isGrouping(asked) ? asked : "group";
  const { field } = groupings[by];
  const period = periods.find(([name]) => name === params.get("days"))?.[0] ?? "30";
  const since = new Date(Date.now() - Number(period) * 86_400_000);
  const from = period === "all" ? "" : `created_at >= '${since.toISOString().slice(0, 10)}'`;
  const choice = [from, filter && `(${filter})`].filter((part) => part !== "").join(" and ");
  const sums = both(
    useQuery(costQuery(choice, "status")),
    useQuery(costQuery(choice, `${field},status`)),
  );
  const ahead = choice.length - filter.length - (filter ? 1 : 0);
  const refused = refusalOf(sums.error, ahead);
  return (
    <>
      <div class="row wrap">
        <Segments
          label={t("Arranged by")}
          value={by}
          choose={(next) => change({ by: next })}
          options={Object.entries(groupings).map(
            ([name, { text }]) => [isGrouping(name) ? name : "group", t(text)] as const,
          )}
        />
        <span class="grow" />
        <Segments
          label={t("Registered within")}
          value={period}
          choose={(next) => change({ days: next })}
          options={periods.map(([name, text]) => [name, t(text)] as const)}
        />
      </div>
      <FilterBox
        value={filter}
        apply={(next) => change({ filter: next }, { push: true })}
        refused={refused}
        seen={{}}
      />
      <Loaded query={sums} lines={8} failed={() => (refused ? null : undefined)}>
        {([all, split]) => <Costs all={all} split={split} by={by} />}
      </Loaded>
    </>
  );
}

function Costs({ all, split, by }: { all: Answer; split: Answer; by: Grouping }) {
  const { field } = groupings[by];
  const total = all.items.reduce(add, nothing());
  if (total.runs === 0)
    return (
      <Empty icon="runs" title={t("No run matches")}>
        <p>{t("No run matches. Loosen the filter, or choose a longer period.")}</p>
      </Empty>
    );
  const groups = new Map<string | null, Sum>();
  for (const item of split.items) {
    const value = item.group[field];
    const key = value === null || value === undefined ? null : String(value);
    groups.set(key, add(groups.get(key) ?? nothing(), item));
  }
  const rows = [...groups].sort(([a, x], [b, y]) =>
    by === "week" ? (b ?? "").localeCompare(a ?? "") : y.cost - x.cost || y.runs - x.runs,
  );
  const most = Math.max(...rows.map(([, sum]) => sum.cost), 0);
  const tiles = [
    [t("Total"), money(total.cost)],
    [t("Of failed runs"), money(total.failed)],
    [t("Runs"), whole(total.runs)],
    [t("Time"), duration(total.seconds)],
  ];
  const names: Record<Grouping, string> = {
    group: t("Group"),
    user: t("User"),
    box: t("Box"),
    gpu: t("GPU"),
    week: t("Week"),
  };
  return (
    <>
      <ul class="tiles">
        {tiles.map(([name, value]) => (
          <li key={name} class="panel tile">
            <span class="muted">{name}</span>
            <b>{value}</b>
          </li>
        ))}
      </ul>
      {total.priced < total.runs && (
        <div class="note">
          <Icon name="info" />
          <div>
            <p>
              {total.priced === 0
                ? t("The cost of these runs is unknown.")
                : t("The cost of {n} of these runs is unknown; they count as zero.", {
                    n: whole(total.runs - total.priced),
                  })}
            </p>
            <p class="muted">
              {t(
                "Runs in progress count when they end. Set a price when you enrol a box, with --hourly-price 0.44 of ledger.py run and agent, or with LEDGER_HOURLY_PRICE on the box.",
              )}
            </p>
          </div>
        </div>
      )}
      <section class="panel">
        <header class="wrap">
          <h2 class="grow">{t("Cost")}</h2>
          <span class="legend">
            <span class="row">
              <span class="swatch-of success" /> {t("of other runs")}
            </span>
            <span class="row">
              <span class="swatch-of failed" /> {t("of failed runs")}
            </span>
          </span>
        </header>
        <Table
          label={t("Cost")}
          heads={[
            names[by],
            [t("Runs"), "number"],
            [t("Time"), "number wide-only"],
            [t("Cost"), "number"],
            [t("Of failed runs"), "number wide-only"],
          ]}
          last={[t("Share"), "bar-cell wide-only"]}
        >
          {rows.map(([key, sum]) => (
            <tr key={key ?? ""}>
              <td>
                {by === "week" && key ? (
                  t("from {day}", { day: dateOnly(key) })
                ) : (
                  <Link href={runsWhere(field, key)}>{key ?? t("unknown")}</Link>
                )}
              </td>
              <td class="number">{whole(sum.runs)}</td>
              <td class="number wide-only">{duration(sum.seconds)}</td>
              <td class="number">
                {sum.priced === 0 ? <span class="faint">–</span> : <b>{money(sum.cost)}</b>}
              </td>
              <td class="number wide-only">{sum.failed > 0 ? money(sum.failed) : ""}</td>
              <td class="bar-cell wide-only">
                <Parts
                  of={most}
                  parts={[
                    ["success", sum.cost - sum.failed],
                    ["failed", sum.failed],
                  ]}
                />
              </td>
            </tr>
          ))}
        </Table>
      </section>
      <p class="faint">
        {split.next_cursor && `${t("The costliest are shown.")} `}
        {!split.complete &&
          `${t("The newest {n} runs were looked at.", { n: whole(split.scanned) })} `}
        {by === "box" && t("A run counts for the machine of its last attempt.")}
      </p>
    </>
  );
}
