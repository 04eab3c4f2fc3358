import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { settingFor, valueFor } from "../../../../src/shared/continuing.ts";
import { t } from "../../i18n.ts";
import { taskQuery } from "../../queries.ts";
import { useAddress } from "../../state.ts";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { useWho } from "../../who.ts";
import { type Draft, draftOfRun, draftOfTemplate, emptyDraft, keptDraft } from "./draft.ts";
import { Form } from "./form.tsx";
import { repeatQuery, templateQuery, weightQuery } from "./queries.ts";
import { writeSetting } from "./settings.ts";

/** A whole number above 0 in an address; null for anything else. */
const idOf = (text: string | null) => (text && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : null);

/** The page of a new run: from nothing, a template, another run, or a file of one. */
export function NewRun() {
  const me = useWho();
  const { params, search } = useAddress();
  const task = idOf(params.get("task"));
  const [trainer, arch] = [params.get("trainer"), params.get("arch")];
  return (
    <div class="page new-run">
      <div class="page-head">
        <Link class="button plain icon small" href="/runs" aria-label={t("Back to the runs")}>
          <Icon name="left" />
        </Link>
        <h1>{t("New run")}</h1>
      </div>
      {me.user_id !== 0 && !me.scopes.includes("tasks:write") ? (
        <Empty icon="key" title={t("This key may not register runs")} />
      ) : task !== null ? (
        <FromRun key={search} id={task} weight={idOf(params.get("weight"))} from={search} />
      ) : trainer && arch ? (
        <FromTemplate key={search} trainer={trainer} arch={arch} from={search} />
      ) : (
        <Start key={search} from={search} begin={() => emptyDraft} />
      )}
    </div>
  );
}

/** The form, with what this tab kept of the draft, or else a new one. */
function Start(props: { from: string; begin: () => Draft; note?: string }) {
  const [{ draft, kept }, setStart] = useState(() => {
    const found = keptDraft(props.from);
    return { draft: found ?? props.begin(), kept: found !== null };
  });
  return (
    <Form
      key={kept ? "kept" : "new"}
      from={props.from}
      start={draft}
      note={props.note}
      anew={kept ? () => setStart({ draft: props.begin(), kept: false }) : undefined}
    />
  );
}

function FromTemplate(props: { trainer: string; arch: string; from: string }) {
  const query = useQuery(templateQuery(props.trainer, props.arch));
  return (
    <Loaded query={query} lines={12}>
      {({ template }) =>
        template && <Start from={props.from} begin={() => draftOfTemplate(template)} />
      }
    </Loaded>
  );
}

function FromRun({ id, weight, from }: { id: number; weight: number | null; from: string }) {
  const task = useQuery(taskQuery(id));
  const repeat = useQuery(repeatQuery(id));
  const file = useQuery({ ...weightQuery(weight ?? 0), enabled: weight !== null });
  const query = {
    data:
      task.data && repeat.data && (weight === null || file.data)
        ? { task: task.data, repeat: repeat.data, file: file.data ?? null }
        : undefined,
    error: task.error ?? repeat.error ?? (weight === null ? null : file.error),
    refetch: () => Promise.all([task.refetch(), repeat.refetch()]),
  };
  return (
    <Loaded query={query} lines={12}>
      {({ task, repeat, file }) => {
        try {
          const copy = draftOfRun(task, repeat);
          if (!file) return <Start from={from} begin={() => copy} />;
          const { draft, note } = continued(copy, task.trainer, repeat.config?.format, file);
          return <Start from={from} begin={() => draft} note={note} />;
        } catch (error) {
          const why = error instanceof Error ? error.message : "";
          return <Empty icon="file" title={why} />;
        }
      }}
    </Loaded>
  );
}

/** The copy with its trainer's setting for going on from a file, and what a person has to know of it. */
function continued(
  copy: Draft,
  trainer: string | null,
  format: string | undefined,
  file: { task_id: number; filename: string; kind: string },
): { draft: Draft; note: string } {
  const { filename, kind, task_id: task } = file;
  const setting = settingFor(trainer ?? "", kind);
  const known = (["toml", "yaml", "json"] as const).find((one) => one === format) ?? "text";
  const cannot = {
    draft: copy,
    note: t(
      "{trainer} has no setting by which its configuration names {filename}, so nothing was filled in. The copy trains from the beginning.",
      { trainer: trainer ?? t("An unknown trainer"), filename },
    ),
  };
  if (!setting) return cannot;
  const value = valueFor(setting, `task-${task}/${filename}`);
  const text = writeSetting(copy.text, known, setting.path, value);
  if (text === null) return cannot;
  return {
    draft: { ...copy, text },
    note: t(
      "{setting} names {value}. The box needs the file there: `lora-ledger pull {task} --kind {kind}` in the trainer's folder brings it.",
      { setting: setting.path.join("."), value, task, kind },
    ),
  };
}
