import { useInfiniteQuery } from "@tanstack/preact-query";
import { t } from "../../i18n.ts";
import { Ago } from "../../ui/figure.tsx";
import { Loaded, ShowMore } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { movesQuery } from "./queries.ts";

/** Who moved which alias, when and why, the latest first. */
export function Moves({ model }: { model: string }) {
  const moves = useInfiniteQuery(movesQuery(model));
  return (
    <section class="panel" aria-label={t("History of the aliases")}>
      <header>
        <h2>{t("History of the aliases")}</h2>
      </header>
      <Loaded query={moves} lines={3}>
        {(items) => {
          if (items.length === 0)
            return <p class="body muted">{t("No alias was set or moved yet.")}</p>;
          return (
            <Table
              label={t("Table of moves")}
              heads={[t("Alias"), t("Versions"), t("By"), t("When"), t("Why")]}
            >
              {items.map((move) => (
                <tr key={move.id}>
                  <td>{move.alias}</td>
                  <td>
                    {move.from_version ?? "–"} → {move.version ?? t("removed")}
                    {move.rollback && <span class="badge own">{t("rolled back")}</span>}
                  </td>
                  <td>{move.moved_by}</td>
                  <td>
                    <Ago at={move.at} />
                  </td>
                  <td class="notes muted">{move.reason}</td>
                </tr>
              ))}
            </Table>
          );
        }}
      </Loaded>
      <ShowMore query={moves} text={t("Earlier ones")} />
    </section>
  );
}
