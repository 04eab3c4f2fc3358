import { useState } from "preact/hooks";
import { trainingSettings } from "../../../../src/shared/run-fields.ts";
import { leavesOf } from "../../../../src/shared/setting-path.ts";
import { setting, sourceOf } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Empty } from "../../ui/loading.tsx";

/** All plain values of a document by their paths, as the filter language names them. */
const flatten = (document: unknown) => [...leavesOf(document)];

export function Parameters({ task }: { task: Task }) {
  const [wanted, setWanted] = useState("");
  const settings = t("Settings");
  const parts: [string, [string, unknown][]][] = [
    [settings, trainingSettings.map((name): [string, unknown] => [name, task[name]])],
    [t("In the trainer's file"), flatten(task.config_snapshot)],
    [t("Further arguments"), flatten(task.additional_args)],
    [t("Machine and software"), flatten(task.node_info)],
  ];
  const word = wanted.trim().toLowerCase();
  const found = parts
    .map(([title, entries]): [string, [string, unknown][]] => [
      title,
      entries.filter(
        ([name, value]) =>
          name !== "" &&
          value !== null &&
          value !== undefined &&
          `${name} ${setting(value)}`.toLowerCase().includes(word),
      ),
    ])
    .filter(([, entries]) => entries.length > 0);
  return (
    <div class="stack">
      <input
        class="field search"
        type="search"
        aria-label={t("Search the parameters")}
        placeholder={t("Search the parameters")}
        value={wanted}
        onInput={(event) => setWanted(event.currentTarget.value)}
      />
      {found.length === 0 && (
        <Empty icon="search" title={t("Nothing found")}>
          <p>{t("No parameter has this in its name or value.")}</p>
        </Empty>
      )}
      {task.command && !word && (
        <section class="panel">
          <header>
            <h2>{t("Command")}</h2>
          </header>
          <pre class="code inline flush">{task.command.join(" ")}</pre>
        </section>
      )}
      <div class="parameter-panels">
        {found.map(([title, entries]) => (
          <section key={title} class="panel">
            <header>
              <h2 class="grow">{title}</h2>
              <span class="faint">{entries.length}</span>
            </header>
            <dl class="parameters">
              {entries.map(([name, value]) => (
                <div key={name}>
                  <dt class="mono">{name}</dt>
                  <dd class="mono">
                    {setting(value)}
                    {title === settings && <span class="faint"> {sourceOf(task, name)}</span>}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
    </div>
  );
}
