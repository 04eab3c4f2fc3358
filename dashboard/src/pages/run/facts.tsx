import { useQuery } from "@tanstack/preact-query";
import { useMemo, useState } from "preact/hooks";
import { api, Problem, read } from "../../api.ts";
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
import { keys, useRefresh } from "../../queries.ts";
import type { Task } from "../../types.ts";
import { Fact } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icon.tsx";
import { attempt } from "../../ui/toast.tsx";
import { mayWrite, useWho } from "../../who.ts";
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

/**
 * Sends a change of the task that its reader saw; where someone else was first, shows that and reads the
 * task again. Resolves to whether it was saved: a draft stays until then.
 */
function useEdit(task: Task) {
  const refresh = useRefresh();
  return (json: { notes?: string; tags?: Record<string, string>; task_name?: string }) =>
    attempt(async () => {
      try {
        await read(
          api.tasks[":id"].$patch(
            { param: { id: String(task.id) }, json },
            { headers: { "If-Match": `"${task.version}"` } },
          ),
        );
      } catch (error) {
        if (!(error instanceof Problem && error.status === 412)) throw error;
        await refresh(keys.task(task.id));
        throw new Error(
          t("Someone else changed this run meanwhile. Look at it again, then repeat your change."),
        );
      }
      await refresh(keys.task(task.id));
    });
}

export function Notes({ task }: { task: Task }) {
  const me = useWho();
  const edit = useEdit(task);
  const [draft, setDraft] = useState<string | null>(null);
  const [begun, setBegun] = useState("");
  const may = mayWrite(me, task.user_id);
  return (
    <section class="panel" aria-label={t("Notes")}>
      <header>
        <h2 class="grow">{t("Notes")}</h2>
        {may && draft === null && (
          <button
            type="button"
            class="button plain icon small"
            aria-label={t("Edit the notes")}
            onClick={() => {
              setDraft(task.notes ?? "");
              setBegun(task.notes ?? "");
            }}
          >
            <Icon name="edit" />
          </button>
        )}
      </header>
      <div class="body">
        {draft === null ? (
          task.notes ? (
            <p class="notes">{task.notes}</p>
          ) : (
            <p class="faint">
              {may ? t("What should be remembered of this run?") : t("No notes.")}
            </p>
          )
        ) : (
          <form
            class="stack"
            onSubmit={(event) => {
              event.preventDefault();
              void edit({ notes: draft }).then((saved) => saved && setDraft(null));
            }}
          >
            <textarea
              class="field"
              aria-label={t("Notes")}
              rows={5}
              maxLength={50_000}
              // biome-ignore lint/a11y/noAutofocus: it takes the place of the button just pressed.
              autoFocus
              value={draft}
              onInput={(event) => setDraft(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === "Escape") setDraft(null);
                if (event.key === "Enter" && (event.metaKey || event.ctrlKey))
                  event.currentTarget.form?.requestSubmit();
              }}
            />
            {(task.notes ?? "") !== begun && (
              <p class="notes muted">
                {t("Meanwhile it says:")} {task.notes}
              </p>
            )}
            <div class="row">
              <button type="submit" class="button primary small">
                {t("Save")}
              </button>
              <button type="button" class="button plain small" onClick={() => setDraft(null)}>
                {t("Back")}
              </button>
            </div>
          </form>
        )}
      </div>
    </section>
  );
}

export function Tags({ task }: { task: Task }) {
  const me = useWho();
  const edit = useEdit(task);
  const [draft, setDraft] = useState<string | null>(null);
  const tags = Object.entries(task.tags ?? {});
  const may = mayWrite(me, task.user_id);
  const add = (text: string) => {
    const [name = "", ...rest] = text.split("=");
    if (!name.trim()) return setDraft(null);
    const changed = edit({ tags: { ...task.tags, [name.trim()]: rest.join("=").trim() } });
    void changed.then((saved) => saved && setDraft(null));
  };
  return (
    <section class="panel" aria-label={t("Tags")}>
      <header>
        <h2 class="grow">{t("Tags")}</h2>
        {may && (
          <button
            type="button"
            class="button plain icon small"
            aria-label={t("Add a tag")}
            onClick={() => setDraft("")}
          >
            <Icon name="plus" />
          </button>
        )}
      </header>
      <div class="body row wrap">
        {tags.map(([name, value]) => (
          <span key={name} class="tag">
            <span class="clip">
              <span class="faint">{name}</span> {value}
            </span>
            {may && (
              <button
                type="button"
                aria-label={t("Remove the tag {name}", { name })}
                onClick={() =>
                  void edit({ tags: Object.fromEntries(tags.filter(([other]) => other !== name)) })
                }
              >
                <Icon name="close" />
              </button>
            )}
          </span>
        ))}
        {tags.length === 0 && draft === null && <p class="faint">{t("No tags.")}</p>}
        {draft !== null && (
          <form
            class="grow"
            onSubmit={(event) => {
              event.preventDefault();
              add(draft);
            }}
          >
            <input
              class="field small"
              aria-label={t("Tag")}
              placeholder={t("kind = style")}
              maxLength={1000}
              // biome-ignore lint/a11y/noAutofocus: it appears by the button just pressed.
              autoFocus
              value={draft}
              onInput={(event) => setDraft(event.currentTarget.value)}
              onBlur={() => draft.trim() === "" && setDraft(null)}
              onKeyDown={(event) => event.key === "Escape" && setDraft(null)}
            />
          </form>
        )}
      </div>
    </section>
  );
}
