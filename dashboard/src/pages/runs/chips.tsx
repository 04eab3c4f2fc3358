import { whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Status } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { statusText } from "../../ui/status.tsx";
import type { Asked, Counts } from "./queries.ts";
import { printValue, termsOf } from "./search.ts";

const statuses: Status[] = ["running", "pending", "success", "failed", "cancelled"];
/** Groups that have a chip. */
const MOST_GROUPS = 6;

const groupTerm = (group: string) => `experiment_group = ${printValue(group)}`;

/** How many runs of a status match, whatever the status that is chosen now; null: of all. */
export const countOf = ({ statuses }: Counts, status: string): number =>
  status ? (statuses.get(status) ?? 0) : [...statuses.values()].reduce((sum, n) => sum + n, 0);

/** The groups with the most runs of a status, or of all. */
export function groupsOf({ cells }: Counts, status: string): { group: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const cell of cells)
    if (cell.group !== null && (!status || cell.status === status))
      counts.set(cell.group, (counts.get(cell.group) ?? 0) + cell.count);
  return [...counts]
    .map(([group, count]) => ({ group, count }))
    .sort((a, b) => b.count - a.count || a.group.localeCompare(b.group));
}

/** Chips that narrow the table by a status, by a group, or to the trash, with the numbers of runs. */
export function Chips(props: {
  asked: Asked;
  counts: Counts | undefined;
  chooseStatus: (status: string) => void;
  toggleGroup: (term: string, on: boolean) => void;
  showTrash: (show: boolean) => void;
}) {
  const { asked, counts } = props;
  const number = (n: number) => (counts?.complete ? whole(n) : `${whole(n)}+`);
  const chosen = new Set(termsOf(asked.filter));
  const groups = counts ? groupsOf(counts, asked.status).slice(0, MOST_GROUPS) : [];
  return (
    <>
      <div class="chips" role="group" aria-label={t("Status")}>
        {["" as const, ...statuses].map((status) => (
          <button
            key={status}
            type="button"
            aria-pressed={asked.status === status}
            onClick={() => props.chooseStatus(asked.status === status ? "" : status)}
          >
            {status && <span class={`dot ${status}`} />}
            {status ? statusText(status) : t("All")}{" "}
            <span class="chip-count">{counts ? number(countOf(counts, status)) : ""}</span>
          </button>
        ))}
        <button
          type="button"
          aria-pressed={asked.deleted}
          onClick={() => props.showTrash(!asked.deleted)}
        >
          <Icon name="trash" />
          {t("Trash")}
        </button>
      </div>
      <div class="chips group-chips" role="group" aria-label={t("Group")}>
        {(groups.length > 1 || groups.some(({ group }) => chosen.has(groupTerm(group)))) &&
          groups.map(({ group, count }) => {
            const on = chosen.has(groupTerm(group));
            return (
              <button
                key={group}
                type="button"
                aria-pressed={on}
                title={group}
                onClick={() => props.toggleGroup(groupTerm(group), !on)}
              >
                <span class="clip">{group}</span> <span class="chip-count">{number(count)}</span>
              </button>
            );
          })}
      </div>
    </>
  );
}
