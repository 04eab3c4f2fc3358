import { useQueryClient } from "@tanstack/preact-query";
import { lazy, Suspense } from "preact/compat";
import { useState } from "preact/hooks";
import { whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { Icon, type IconName } from "../../ui/icon.tsx";
import { useWho } from "../../who.ts";
import type { BulkAction } from "./bulk.ts";
import { type Asked, keys } from "./queries.ts";

const BulkDialog = lazy(() => import("./bulk-dialog.tsx").then((dialog) => dialog.BulkDialog));

const actions: { action: BulkAction; icon: IconName; text: Text }[] = [
  { action: "tag", icon: "star", text: "Tag…" },
  { action: "group", icon: "group", text: "Move to a group…" },
  { action: "queue", icon: "play", text: "Queue…" },
  { action: "cancel", icon: "stop", text: "Cancel…" },
  { action: "delete", icon: "trash", text: "Delete…" },
];
const inTrash: typeof actions = [{ action: "restore", icon: "again", text: "Restore…" }];

/** What may be done to the selected runs, or to all that match. */
export function BulkBar(props: {
  asked: Asked;
  ids: number[];
  /** How many runs match; null while it is unknown. */
  total: number | null;
  all: boolean;
  chooseAll: (all: boolean) => void;
  groups: string[];
  clear: () => void;
  curves: boolean;
  showCurves: (show: boolean) => void;
}) {
  const { asked, ids, total, all } = props;
  const me = useWho();
  const client = useQueryClient();
  const [action, setAction] = useState<BulkAction | null>(null);
  const mayChange = me.scopes.includes("tasks:write");
  const chosen = all ? null : ids;
  return (
    <div class="row wrap bulk-bar" role="group" aria-label={t("Selected runs")}>
      <span class="bulk-count">
        {all
          ? t("All {n} runs that match", { n: whole(total ?? 0) })
          : ids.length === 1
            ? t("1 run selected")
            : t("{n} runs selected", { n: whole(ids.length) })}
      </span>
      {mayChange && !all && total !== null && total > ids.length && ids.length > 1 && (
        <button type="button" class="button plain small" onClick={() => props.chooseAll(true)}>
          {t("Select all {n} that match", { n: whole(total) })}
        </button>
      )}
      {all && (
        <button type="button" class="button plain small" onClick={() => props.chooseAll(false)}>
          {t("Only the {n} selected", { n: whole(ids.length) })}
        </button>
      )}
      {mayChange &&
        (asked.deleted ? inTrash : actions).map(({ action, icon, text }) => (
          <button
            key={action}
            type="button"
            class={`button small ${action === "delete" ? "danger" : ""}`}
            onClick={() => setAction(action)}
          >
            <Icon name={icon} />
            {t(text)}
          </button>
        ))}
      <span class="grow" />
      <button
        type="button"
        class="button small"
        aria-pressed={props.curves}
        onClick={() => props.showCurves(!props.curves)}
      >
        <Icon name={props.curves ? "eye" : "hidden"} />
        {t("Curves")}
      </button>
      <button type="button" class="button small" onClick={props.clear}>
        <Icon name="close" />
        {t("Select no run")}
      </button>
      {action && (
        <Suspense fallback={null}>
          <BulkDialog
            action={action}
            asked={asked}
            ids={chosen}
            groups={props.groups}
            close={() => setAction(null)}
            changed={() => {
              void client.invalidateQueries({ queryKey: keys.rows });
              void client.invalidateQueries({ queryKey: keys.counts });
              void client.invalidateQueries({ queryKey: ["chosen"] });
            }}
          />
        </Suspense>
      )}
    </div>
  );
}
