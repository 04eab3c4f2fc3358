import { useQuery } from "@tanstack/preact-query";
import { Problem } from "../../api.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Copy } from "../../ui/button.tsx";
import { Highlight, type Language } from "../../ui/highlight.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { configQuery } from "./queries.ts";

/** Guesses the language of a configuration file from its text. */
function languageOf(text: string): Language {
  if (/^\s*[[{]\s*(?:"|\{|\}|\])/.test(text)) return "json";
  const lines = text.split("\n").filter((line) => /\S/.test(line) && !/^\s*#/.test(line));
  const count = (pattern: RegExp) => lines.filter((line) => pattern.test(line)).length;
  return count(/^\s*[\w."-]+\s*=/) >= count(/^\s*-?\s*[\w."-]+:(?:\s|$)/) ? "ini" : "yaml";
}

/** The trainer's own file, byte for byte. */
export function Config({ task }: { task: Task }) {
  const missing = (error: unknown) =>
    error instanceof Problem && error.status === 404 ? (
      <Empty icon="file" title={t("No configuration file")}>
        <p>{t("This run was registered without a file. Its fields are under Parameters.")}</p>
      </Empty>
    ) : undefined;
  return (
    <Loaded query={useQuery(configQuery(task.id))} lines={12} failed={missing}>
      {(data) => (
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
      )}
    </Loaded>
  );
}
