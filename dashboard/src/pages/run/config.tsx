import { useQuery } from "@tanstack/preact-query";
import { Problem, readText } from "../../api.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Copy } from "../../ui/button.tsx";
import { Highlight, type Language } from "../../ui/highlight.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Skeleton, Trouble } from "../../ui/loading.tsx";

/** What a configuration is written in, by what it looks like. */
function languageOf(text: string): Language {
  if (/^\s*[[{]\s*(?:"|\{|\}|\])/.test(text)) return "json";
  const lines = text.split("\n").filter((line) => /\S/.test(line) && !/^\s*#/.test(line));
  const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length;
  return count(/^\s*[\w."-]+\s*=/) >= count(/^\s*-?\s*[\w."-]+:(?:\s|$)/) ? "ini" : "yaml";
}

/** The trainer's own file, as it was. */
export function Config({ task }: { task: Task }) {
  const { data, error, refetch } = useQuery({
    queryKey: ["config", task.id],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: () => readText(`/api/tasks/${task.id}/config`),
  });
  if (error instanceof Problem && error.status === 404)
    return (
      <Empty icon="file" title={t("No configuration file")}>
        <p>{t("This run was registered by its fields alone. They stand under Parameters.")}</p>
      </Empty>
    );
  if (error && data === undefined) return <Trouble error={error} again={() => void refetch()} />;
  if (data === undefined) return <Skeleton lines={12} />;
  return (
    <section class="panel">
      <header>
        <h2 class="grow">{t("The trainer's own file, byte for byte")}</h2>
        <Copy text={data} label={t("Copy")} plain />
        <a class="button plain small" href={`/api/tasks/${task.id}/config`} download>
          <Icon name="download" />
          {t("Download")}
        </a>
      </header>
      <Highlight text={data} language={languageOf(data)} />
    </section>
  );
}
