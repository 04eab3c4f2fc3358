import { useQuery } from "@tanstack/preact-query";
import { Link } from "wouter-preact";
import type { RunFieldName } from "../../../../src/shared/run-fields.ts";
import { refusalOf } from "../../api.ts";
import { setting, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { Ago } from "../../ui/figure.tsx";
import { Segments } from "../../ui/form.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { columnLabel, fieldText, results } from "../runs/columns.ts";
import { FilterBox } from "../runs/filter-box.tsx";
import { leaderboardQuery } from "./queries.ts";

const groupings = [
  "experiment_group",
  "base_arch",
  "user",
  "optimizer",
  "lora_rank",
  "trainer",
] satisfies (RunFieldName | "user")[];
const choose = (known: string[], text: string | null) =>
  known.find((name) => name === text) ?? known[0] ?? "";

/** The best run of each group, or the best of all. */
export function Leaderboard() {
  const { params, change } = useAddress();
  const filter = params.get("filter") ?? "";
  const group = params.get("by") === "none" ? "" : choose(groupings, params.get("by"));
  const asked = params.get("metric");
  // Any metric of the runs ranks them as well: its best, its last, its lowest.
  const own = asked?.startsWith("metrics.") ? asked : null;
  const metric = own ?? choose(results, asked);
  const leaderboard = useQuery(leaderboardQuery(filter, group, metric));
  const refused = refusalOf(leaderboard.error, "(".length);
  return (
    <div class="page">
      <div class="page-head">
        <h1 class="grow">{t("Leaderboard")}</h1>
        <Segments
          label={t("Result")}
          value={metric}
          choose={(next) => change({ metric: next })}
          options={results.map((name) => [name, columnLabel(name)] as const)}
        />
        <form
          key={own ?? ""}
          onSubmit={(event) => {
            event.preventDefault();
            const name = String(new FormData(event.currentTarget).get("metric") ?? "").trim();
            change({ metric: name });
          }}
        >
          <input
            class="field small mono"
            name="metric"
            aria-label={t("A metric to rank by")}
            placeholder={'metrics."val/loss".best'}
            maxLength={300}
            defaultValue={own ?? ""}
          />
        </form>
        <label class="check muted">
          {t("Best of each")}
          <select
            class="field small"
            value={group || "none"}
            onChange={(event) => change({ by: event.currentTarget.value })}
          >
            {groupings.map((name) => (
              <option key={name} value={name}>
                {columnLabel(name)}
              </option>
            ))}
            <option value="none">{t("Not grouped")}</option>
          </select>
        </label>
      </div>
      <FilterBox
        value={filter}
        apply={(next) => change({ filter: next }, { push: true })}
        refused={refused}
        seen={{}}
      />
      <Loaded query={leaderboard} lines={10} failed={() => (refused ? null : undefined)}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty icon="trophy" title={t("No run has a result yet")}>
              <p>{t("Successful runs appear here, the best first.")}</p>
            </Empty>
          ) : (
            <section class="panel">
              <Table
                label={t("Leaderboard")}
                heads={[
                  // Losses of groups with other data or another base model have no order among them.
                  group ? columnLabel(group) : [t("Place"), "number"],
                  t("Run"),
                  [columnLabel(metric), "number"],
                  [t("Rank"), "number wide-only"],
                  [t("Learning rate"), "number wide-only"],
                  [t("Optimizer"), "wide-only"],
                  ...(group ? [[t("Runs"), "number wide-only"] as const] : []),
                  [t("Created"), "wide-only"],
                ]}
              >
                {items.map(({ group: keys, value, runs, task }, n) => (
                  <tr key={task.id}>
                    {group ? (
                      <td>
                        <b>{setting(Object.values(keys)[0]) || t("Without a group")}</b>
                      </td>
                    ) : (
                      <td class="number faint">{n + 1}</td>
                    )}
                    <td>
                      <Link href={`/runs/${task.id}`}>{task.task_name}</Link>
                    </td>
                    <td class={`number ${!group && value === items[0]?.value ? "best" : ""}`}>
                      <b>{fieldText(metric, value)}</b>
                    </td>
                    <td class="number wide-only">{setting(task.lora_rank)}</td>
                    <td class="number wide-only">{setting(task.learning_rate)}</td>
                    <td class="wide-only">{task.optimizer}</td>
                    {group && <td class="number wide-only">{runs === null ? "" : whole(runs)}</td>}
                    <td class="wide-only">
                      <Ago at={task.created_at} />
                    </td>
                  </tr>
                ))}
              </Table>
            </section>
          )
        }
      </Loaded>
    </div>
  );
}
