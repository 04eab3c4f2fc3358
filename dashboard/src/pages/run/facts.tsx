import { useQuery } from "@tanstack/preact-query";
import { useMemo } from "preact/hooks";
import { endOf } from "../../chart/curves.ts";
import { CURVE_POINTS, curveQuery } from "../../chart/queries.ts";
import {
  bestText,
  dateTime,
  duration,
  measure,
  money,
  setting,
  sourceOf,
  stepText,
  textAt,
} from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Fact } from "../../ui/figure.tsx";
import { BestCheckpoint } from "./best.tsx";

function guardText(guard: Task["guard"]): string {
  if (guard === null || typeof guard !== "object" || Array.isArray(guard)) return "";
  return guard.over === 1
    ? t("ends at the first NaN")
    : t("ends after {n} NaN in a row", { n: setting(guard.over) });
}

/** The results and main settings of a run. */
export function Facts({ task }: { task: Task }) {
  const defaulted = new Set(task.defaulted_fields ?? []);
  const given = (name: keyof Task) => {
    const text = setting(task[name]);
    if (text && defaulted.has(name))
      return (
        <span title={t("The trainer's default: the file does not set it.")}>
          {text} <span class="faint">{t("default")}</span>
        </span>
      );
    const source = sourceOf(task, name);
    return text && source ? <span title={source}>{text}</span> : text;
  };
  // The same query as the curve's own, so it asks nothing more.
  const { data } = useQuery(curveQuery(task.id, "loss", CURVE_POINTS));
  const lossNow = useMemo(() => (data ? endOf(data) : null), [data]);
  const runningFor =
    task.status === "running" && task.started_at
      ? (Date.now() - Date.parse(task.started_at)) / 1000
      : null;
  return (
    <section class="panel" aria-label={t("Figures")}>
      <dl class="figures">
        {task.final_loss === null && task.status === "running" ? (
          <div title={t("The end of the smoothed curve.")}>
            <dt>{t("Loss now")}</dt>
            <dd>{measure(lossNow) || "–"}</dd>
          </div>
        ) : (
          <div title={t("The median of the means of 20 parts of the last tenth.")}>
            <dt>{t("Final loss")}</dt>
            <dd>{measure(task.final_loss) || "–"}</dd>
          </div>
        )}
        {typeof task.best_loss === "number" && (
          <div title={t("The lowest mean loss of a twentieth of the steps.")}>
            <dt>{t("Best smoothed loss")}</dt>
            <dd>{bestText(task)}</dd>
          </div>
        )}
        <div title={t("From there on the smoothed loss is within 5 % of its end.")}>
          <dt>{t("Converged at")}</dt>
          <dd>{stepText(task.convergence_step) || "–"}</dd>
        </div>
        <div>
          <dt>{t("Duration")}</dt>
          <dd>{duration(task.total_duration_sec ?? runningFor) || "–"}</dd>
        </div>
        {task.cost !== null && (
          <div>
            <dt>{t("Cost")}</dt>
            <dd>{money(task.cost)}</dd>
          </div>
        )}
      </dl>
      <BestCheckpoint task={task} />
      <dl class="facts">
        <Fact name={t("Base model")}>{given("base_model_path")}</Fact>
        <Fact name={t("Architecture")}>{given("base_arch")}</Fact>
        <Fact name={t("Algorithm")}>{given("network_algo")}</Fact>
        <Fact name={t("Rank / alpha")}>
          {task.lora_rank === null
            ? null
            : `${setting(task.lora_rank)} / ${setting(task.lora_alpha) || "–"}`}
        </Fact>
        <Fact name={t("Learning rate")}>{given("learning_rate")}</Fact>
        <Fact name={t("Optimizer")}>{given("optimizer")}</Fact>
        <Fact name={t("Scheduler")}>{given("scheduler")}</Fact>
        <Fact name={t("Batch")}>{given("batch_size")}</Fact>
        <Fact name={t("Epochs")}>{given("epochs")}</Fact>
        <Fact name={t("Precision")}>{given("mixed_precision")}</Fact>
        <Fact name={t("Seed")}>{given("seed")}</Fact>
        <Fact name={t("Trainer")}>{given("trainer")}</Fact>
        <Fact name={t("Guard")}>{guardText(task.guard)}</Fact>
      </dl>
      <dl class="facts machine">
        <Fact name={t("GPU")}>{given("gpu_info")}</Fact>
        <Fact name={t("Box")}>{textAt(task.node_info, "hostname")}</Fact>
        <Fact name="CUDA">{given("cuda_version")}</Fact>
        <Fact name={t("Started")}>{task.started_at && dateTime(task.started_at)}</Fact>
        <Fact name={t("Finished")}>{task.finished_at && dateTime(task.finished_at)}</Fact>
        <Fact name={t("Commit")}>
          {task.git_commit && <code>{task.git_commit.slice(0, 12)}</code>}
        </Fact>
      </dl>
    </section>
  );
}
