import { useQuery } from "@tanstack/preact-query";
import { measure, stepText } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Fact } from "../../ui/figure.tsx";
import { VersionButton } from "./files.tsx";
import { bestQuery } from "./queries.ts";

/** The stored file nearest to the best step of the validation loss, else of the loss, as a fact. */
export function BestCheckpoint({ task }: { task: Task }) {
  const { data } = useQuery({
    ...bestQuery(task.id),
    enabled: task.attempt > 0 && task.deleted_at === null,
  });
  if (!data || data.value === null) return null;
  const { metric, value, step, checkpoint, reason } = data;
  return (
    <dl class="facts">
      <Fact name={t("Best checkpoint")}>
        <span title={t("The lowest smoothed value of the metric, and its step.")}>
          <span class="mono">{metric}</span> <b>{measure(value)}</b>
        </span>{" "}
        <span class="faint">{stepText(step)}</span>
        <br />
        {checkpoint ? (
          <>
            <a
              href={`/api/weights/${checkpoint.weight_id}/download`}
              download={checkpoint.filename.split("/").at(-1)}
              aria-label={t("Download {name}", { name: checkpoint.filename })}
            >
              {checkpoint.filename}
            </a>{" "}
            <span class="faint">{stepText(checkpoint.step)}</span>
            <br />
            <VersionButton file={{ id: checkpoint.weight_id, filename: checkpoint.filename }} />
          </>
        ) : (
          <span class="faint">
            {reason === "no-steps"
              ? t("Nobody knows the steps of this run.")
              : t("No stored file has a step.")}
          </span>
        )}
      </Fact>
    </dl>
  );
}
