import { keepPreviousData, useQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { measure, money, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { Trouble } from "../../ui/loading.tsx";
import { runsWhere } from "./text.ts";

type Group = InferResponseType<typeof api.queue.groups.$get, 200>["items"][number];

const shares = ["success", "failed", "cancelled", "running", "waiting"] as const;
const shareTexts: Record<(typeof shares)[number], Text> = {
  success: "Success",
  failed: "Failed",
  cancelled: "Cancelled",
  running: "Running",
  waiting: "Waiting",
};

/** How far sweeps and other groups of queued runs are. */
export function Groups({ standing }: { standing: string | null }) {
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
