import { useQuery } from "@tanstack/preact-query";
import { setting, whole } from "../../format.ts";
import { t, translate } from "../../i18n.ts";
import { Table } from "../../ui/table.tsx";
import { columnLabel, fieldText } from "../runs/columns.ts";
import { influenceQuery } from "./queries.ts";

type Cautioned = {
  caution: string | null;
  caution_code: string | null;
  caution_params: Record<string, string | number>;
};

/** A caution in the language in use; null where there is none. */
const cautionOf = ({ caution, caution_code, caution_params }: Cautioned): string | null =>
  caution && translate({ message: caution, code: caution_code ?? "", params: caution_params });

/** Parameters that correlate with the result, and the number of runs behind each figure. */
export function Influence({ filter, metric }: { filter: string; metric: string }) {
  const { data } = useQuery(influenceQuery(filter, metric));
  if (!data || data.parameters.length === 0) return null;
  return (
    <section class="panel" aria-label={t("Influence")}>
      <header class="wrap">
        <h2>{t("Parameters that correlate with the result")}</h2>
        <span class="muted">{t("{n} runs", { n: whole(data.runs) })}</span>
      </header>
      <Table
        label={t("Table of parameters")}
        heads={[
          t("Parameter"),
          t("Strength"),
          [t("Correlation"), "number"],
          [t("Runs"), "number"],
          t("Medians"),
        ]}
      >
        {data.parameters.slice(0, 12).map((one) => (
          <tr key={one.name}>
            <td title={cautionOf(one) ?? undefined}>
              {columnLabel(one.name)}
              {one.caution && <span class="faint"> · {cautionOf(one)}</span>}
            </td>
            <td class="influence-bar">
              <span class="bar">
                <i style={{ width: `${one.strength * 100}%` }} />
              </span>
            </td>
            <td class="number">{one.correlation === null ? "–" : one.correlation.toFixed(2)}</td>
            <td class="number">{whole(one.runs)}</td>
            <td class="muted medians">
              {one.groups.slice(0, 5).map(({ value, median }, n) => (
                <span key={n}>{`${setting(value)}: ${fieldText(metric, median)}`}</span>
              ))}
            </td>
          </tr>
        ))}
      </Table>
      <p class="body muted">{cautionOf(data)}</p>
    </section>
  );
}
