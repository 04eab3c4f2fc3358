import type { InferResponseType } from "hono/client";
import { Link } from "wouter-preact";
import type { api } from "../../api.ts";
import { whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { Ago } from "../../ui/figure.tsx";
import { Table } from "../../ui/table.tsx";
import { isSilent } from "./silent.ts";

export type Lanes = InferResponseType<typeof api.queue.lanes.$get, 200>;
type Lane = Lanes["items"][number];

/** Labels and memory that a run requires of a box. */
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

/** Boxes that may take the ready runs of a lane, or the requirement that none of them meets. */
export function Fit({ lane, lanes }: { lane: Lane; lanes: Lanes }) {
  const fitting = lanes.boxes.filter(({ id }) => lane.boxes.includes(id));
  const live = fitting.filter((box) => !isSilent(box.last_seen_at));
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
          : t("no enrolled box meets all of these");
  return <span class="bad-text">{lacking}</span>;
}

/** Lanes: waiting runs of one user with the same requirements, in the order of their turn. */
export function LanesPanel({ lanes }: { lanes: Lanes }) {
  if (lanes.items.length === 0) return null;
  return (
    <section class="panel">
      <header class="wrap">
        <h2>{t("Whose turn it is")}</h2>
        <span class="muted grow">
          {t(
            "The user with the fewest running runs comes first. Agents with an ordinary key are not listed.",
          )}
        </span>
        <Link class="button small" href="/board/boxes">
          {t("To the boxes")}
        </Link>
      </header>
      <Table
        label={t("Whose turn it is")}
        heads={[
          t("User"),
          [t("Running"), "number"],
          t("Asks for"),
          [t("Ready"), "number"],
          [t("First of them"), "wide-only"],
          t("Boxes"),
        ]}
      >
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
      </Table>
    </section>
  );
}
