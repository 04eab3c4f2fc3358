import { useQueries } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Problem, readText } from "../../api.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Highlight } from "../../ui/highlight.tsx";
import { Skeleton, Trouble } from "../../ui/parts.tsx";
import { unifiedDiff } from "./diff.ts";

/** What was changed between the files of two runs, line by line. */
export function ConfigDiff({ tasks }: { tasks: Task[] }) {
  const [first, second] = tasks;
  const [from, setFrom] = useState(first?.id ?? 0);
  const [to, setTo] = useState(second?.id ?? 0);
  const pair = [from, to].map((id) => tasks.find((task) => task.id === id));
  const files = useQueries({
    queries: [from, to].map((id) => ({
      queryKey: ["config", id],
      enabled: id > 0,
      staleTime: Number.POSITIVE_INFINITY,
      queryFn: () =>
        readText(`/api/tasks/${id}/config`).catch((error: unknown) => {
          // A run without a file is compared as one whose file is empty.
          if (error instanceof Problem && error.status === 404) return "";
          throw error;
        }),
    })),
  });
  if (tasks.length < 2) return null;
  const failed = files.find(({ error }) => error);
  const [a, b] = files.map(({ data }) => data);
  const text = a === undefined || b === undefined ? null : unifiedDiff(a, b);
  const choose = (label: string, value: number, set: (id: number) => void) => (
    <select
      class="field small"
      aria-label={label}
      value={value}
      onChange={(event) => set(Number(event.currentTarget.value))}
    >
      {tasks.map((task) => (
        <option key={task.id} value={task.id}>
          {task.task_name}
        </option>
      ))}
    </select>
  );
  return (
    <section class="panel" aria-label={t("Config")}>
      <header class="wrap">
        <h2>{t("Config, line by line")}</h2>
        {choose(t("From"), from, setFrom)}
        <span class="faint" aria-hidden="true">
          →
        </span>
        {choose(t("To"), to, setTo)}
      </header>
      {failed ? (
        <div class="body">
          <Trouble error={failed.error} again={() => void failed.refetch()} />
        </div>
      ) : text === null ? (
        <div class="body">
          <Skeleton />
        </div>
      ) : text === "" ? (
        <p class="body muted">
          {t("The files of {a} and {b} are the same.", {
            a: pair[0]?.task_name ?? from,
            b: pair[1]?.task_name ?? to,
          })}
        </p>
      ) : (
        <Highlight text={text} language="diff" />
      )}
    </section>
  );
}
