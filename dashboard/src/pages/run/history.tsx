import { Link } from "wouter-preact";
import { dateTime, duration, money, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Attempt, Task } from "../../types.ts";
import { StatusBadge, statusText } from "../../ui/status.tsx";

type Event = { at: string; text: string; status?: Task["status"] };

/** Events of the run, in order. */
function eventsOf(task: Task): Event[] {
  const events: Event[] = [{ at: task.created_at, text: t("Registered") }];
  for (const one of task.attempts) {
    events.push({
      at: one.started_at,
      status: "running",
      text: one.from_step
        ? t("Attempt {n} began at step {step}", { n: one.attempt, step: whole(one.from_step) })
        : t("Attempt {n} began", { n: one.attempt }),
    });
    if (one.finished_at)
      events.push({
        at: one.finished_at,
        status: one.status,
        text: t("Attempt {n} ended: {how}", {
          n: one.attempt,
          how: statusText(one.status, one.failure_reason),
        }),
      });
  }
  if (task.deleted_at) events.push({ at: task.deleted_at, text: t("Put into the trash") });
  return events.sort((a, b) => a.at.localeCompare(b.at));
}

export function History({ task }: { task: Task }) {
  return (
    <div class="stack">
      <section class="panel">
        <header>
          <h2>{t("What happened")}</h2>
        </header>
        <ol class="timeline">
          {eventsOf(task).map((event) => (
            <li key={event.at + event.text}>
              <span class={`dot ${event.status ?? "pending"}`} />
              <span class="grow">{event.text}</span>
              <time class="muted" dateTime={event.at}>
                {dateTime(event.at)}
              </time>
            </li>
          ))}
        </ol>
        {task.parent_task_id && (
          <p class="body">
            {t("Repeats run")}{" "}
            <Link href={`/runs/${task.parent_task_id}`}>#{task.parent_task_id}</Link>
          </p>
        )}
      </section>
      {task.attempts.map((one) => (
        <AttemptPanel key={one.attempt} attempt={one} />
      ))}
    </div>
  );
}

const AttemptPanel = ({ attempt }: { attempt: Attempt }) => (
  <section class="panel">
    <header class="wrap">
      <h2>{t("Attempt {n}", { n: attempt.attempt })}</h2>
      <StatusBadge status={attempt.status} reason={attempt.failure_reason} />
      <span class="grow" />
      <span class="muted">
        {[
          attempt.gpu_info,
          duration(attempt.duration_sec),
          attempt.last_step !== null &&
            t("steps {from} to {to}", {
              from: whole(attempt.first_step ?? 0),
              to: whole(attempt.last_step),
            }),
          attempt.exit_code !== null && t("exit code {code}", { code: attempt.exit_code }),
          attempt.cost !== null && t("cost {cost}", { cost: money(attempt.cost) }),
        ]
          .filter(Boolean)
          .join(" · ")}
      </span>
    </header>
    {attempt.error_message && <p class="body warn-text">{attempt.error_message}</p>}
  </section>
);
