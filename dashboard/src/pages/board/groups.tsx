import { useQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { Link } from "wouter-preact";
import type { api } from "../../api.ts";
import { measure, money, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { Loaded } from "../../ui/loading.tsx";
import { groupsQuery } from "./queries.ts";
import { runsWhere } from "./text.ts";

type Answer = InferResponseType<typeof api.queue.groups.$get, 200>;
type Group = Answer["items"][number];

const shares = ["success", "failed", "cancelled", "running", "waiting"] as const;
const shareTexts: Record<(typeof shares)[number], Text> = {
  success: "Success",
  failed: "Failed",
  cancelled: "Cancelled",
  running: "Running",
  waiting: "Waiting",
};

/** Progress of sweeps and other groups of queued runs. */
export function Groups({ boardVersion }: { boardVersion: string | null }) {
  return (
    <Loaded query={useQuery(groupsQuery(boardVersion))} lines={0}>
      {(groups) => <GroupsPanel groups={groups} />}
    </Loaded>
  );
}

function GroupsPanel({ groups: { items, complete } }: { groups: Answer }) {
  if (items.length === 0) return null;
  return (
    <section class="panel" aria-label={t("Sweeps and groups")}>
      <header class="wrap">
        <h2 class="grow">{t("Sweeps and groups")}</h2>
        {!complete && <span class="muted">{t("There are more; the newest are counted.")}</span>}
      </header>
      <ul class="groups">
        {items.map((group) => (
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
          <span class="muted">
            {t("lowest final loss {loss}", { loss: measure(group.best_loss) })}
          </span>
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
