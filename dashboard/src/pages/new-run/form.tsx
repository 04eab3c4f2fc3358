import { useQuery } from "@tanstack/preact-query";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { api, explainError, Problem, read } from "../../api.ts";
import { bytes } from "../../format.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import { Choice, TextField } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { toast } from "../../ui/toast.tsx";
import { runsWhere, splitLabels } from "../board/text.ts";
import { Begin, takeFile } from "./begin.tsx";
import { type Draft, emptyDraft, forgetDraft, keepDraft } from "./draft.ts";
import { Editor } from "./editor.tsx";
import { costOf, costText, Findings, useSpeed } from "./findings.tsx";
import { Lines } from "./lines.tsx";
import { lineOf, placesOfFaults, placesOfWarnings } from "./places.ts";
import { usePreview } from "./preview.ts";
import { settingsQuery } from "./queries.ts";
import {
  commandWithStandIns,
  linesWithMarks,
  standIn,
  variableOf,
  withStandIns,
} from "./secrets.ts";
import { MOST_RUNS, noSweep, runsOf, SweepPanel, spaceOf } from "./sweep.tsx";
import { MOST_EDITED } from "./text.ts";

const numberOf = (text: string): number | undefined => {
  const n = Number(text);
  return text.trim() !== "" && Number.isFinite(n) ? n : undefined;
};

/** The files of a draft as requests have them, without a mark that a box fills. */
function filesOf(draft: Draft, word: string) {
  const { text, path, dataset, command, dialect, secrets } = draft;
  return {
    ...(text !== "" && {
      config: { text: withStandIns(text, secrets.config, word), ...(path && { path }) },
    }),
    ...(dataset && {
      dataset_file: { text: withStandIns(dataset.text, secrets.dataset, word), path: dataset.path },
    }),
    ...(command && { command: commandWithStandIns(command, secrets.command, word) }),
    ...(dialect && { dialect }),
  };
}

/** Edits a run in the making, and queues it. */
export function Form(props: { from: string; start: Draft; note?: string; anew?: () => void }) {
  const { from, start, note, anew } = props;
  const [, go] = useLocation();
  const refresh = useRefresh();
  const [draft, setDraft] = useState(start);
  const change = (next: Partial<Draft>) => setDraft((before) => ({ ...before, ...next }));
  /** Counts the files that took the place of the one before. */
  const [edition, setEdition] = useState(0);
  const [word] = useState(standIn);
  const [queued, setQueued] = useState(true);
  const [labels, setLabels] = useState("");
  const [memory, setMemory] = useState("");
  const [priority, setPriority] = useState("");
  const [tries, setTries] = useState("");
  const [sweep, setSweep] = useState(noSweep);
  const [confirmed, setConfirmed] = useState<ReadonlySet<string>>(new Set());
  const [sending, setSending] = useState(false);
  const [refused, setRefused] = useState<unknown>(null);

  const isNew = draft !== start;
  useEffect(() => {
    if (isNew) keepDraft(from, draft);
  }, [draft, from, isNew]);

  const files = useMemo(() => filesOf(draft, word), [draft, word]);
  const hasFiles = draft.text !== "" || (draft.command !== null && draft.before === "");
  const read_ = useMemo(
    () => (hasFiles ? { ...files, images_per_epoch: draft.imagesPerEpoch } : null),
    [files, hasFiles, draft.imagesPerEpoch],
  );
  const { answer, error, busy } = usePreview(read_, read_ ? JSON.stringify(read_) : "");
  const settings = useQuery(settingsQuery(answer?.trainer ?? "")).data?.settings ?? [];
  const speed = useSpeed(answer);
  const places = useMemo(
    () => [
      ...(error instanceof Problem ? placesOfFaults(error.faults) : []),
      ...(answer && !error ? placesOfWarnings(draft.text, answer.warnings) : []),
    ],
    [answer, error],
  );
  const tooLong = draft.text.length > MOST_EDITED;
  const written = useMemo(
    () => settings.filter((name) => !tooLong && lineOf(draft.text, name) !== null),
    [settings, draft.text, tooLong],
  );

  const named = [
    ...draft.secrets.config.filter(({ name }) => draft.text.includes(name)),
    ...draft.secrets.dataset,
    ...draft.secrets.command,
  ];
  const variables = [...new Set(named.map(({ name }) => variableOf(name)))];
  const left = [
    ...linesWithMarks(files.config?.text ?? "").map((n) => t("line {n} of the file", { n })),
    ...linesWithMarks(files.dataset_file?.text ?? "").map((n) =>
      t("line {n} of the dataset file", { n }),
    ),
    ...(files.command?.some((one) => one.includes("[redacted]")) ? [t("the command")] : []),
  ];

  const queue = {
    ...(splitLabels(labels).length > 0 && { labels: splitLabels(labels) }),
    ...(numberOf(memory) !== undefined && { min_gpu_memory_gb: numberOf(memory) }),
    ...(numberOf(priority) !== undefined && { priority: numberOf(priority) }),
    ...(numberOf(tries) !== undefined && { max_attempts: numberOf(tries) }),
  };
  const isSweep = sweep.varied.length > 0;
  const runs = isSweep ? runsOf(sweep) : 1;
  const group = draft.group.trim();
  const ready =
    !sending &&
    hasFiles &&
    left.length === 0 &&
    variables.every((name) => confirmed.has(name)) &&
    !(error instanceof Problem && error.status === 422) &&
    (!isSweep || (runs !== null && runs <= MOST_RUNS && group !== ""));

  // The same words asked again find what they made the first time.
  const sent = useRef({ body: "", key: "" });
  const keyOf = (body: string) => {
    if (sent.current.body !== body) sent.current = { body, key: crypto.randomUUID() };
    return sent.current.key;
  };

  async function send() {
    setSending(true);
    setRefused(null);
    try {
      if (isSweep) await sendSweep();
      else await sendRun();
    } catch (thrown) {
      setRefused(thrown);
    } finally {
      setSending(false);
    }
  }

  async function sendRun() {
    const body = JSON.stringify({
      ...(draft.name.trim() && { task_name: draft.name.trim() }),
      ...(group && { experiment_group: group }),
      ...(draft.parent !== null && { parent_task_id: draft.parent }),
      ...files,
      ...(queued && { queue }),
    });
    const headers = { "Content-Type": "application/json", "Idempotency-Key": keyOf(body) };
    const made = await read(api.tasks.$post({}, { init: { body, headers } }));
    forgetDraft();
    await refresh(["table"]);
    toast(queued ? t("The run waits for a box") : t("The run is recorded"));
    go(`/runs/${made.task_id}`);
  }

  async function sendSweep() {
    const space = spaceOf(sweep);
    if (!space || !files.config) return;
    const json = {
      ...files,
      config: files.config,
      space,
      method: sweep.method,
      ...(sweep.method !== "grid" && { count: sweep.count }),
      seed: sweep.seed,
      experiment_group: group,
      ...(draft.name.trim() && { task_name: draft.name.trim() }),
      ...(draft.parent !== null && { parent_task_id: draft.parent }),
      queue,
    };
    const headers = { "Idempotency-Key": keyOf(JSON.stringify(json)).slice(0, 36) };
    const made = await read(api.sweeps.$post({ json }, { headers }));
    forgetDraft();
    await refresh(["table"]);
    toast(t("{n} runs wait for a box", { n: made.count }));
    go(runsWhere("experiment_group", group));
  }

  const take = (text: string, path: string) => {
    setDraft({ ...emptyDraft, text, path, name: draft.name, group: draft.group });
    setEdition(edition + 1);
  };
  const format = answer?.format ?? formatOfPath(draft.path);

  return (
    <div class="stack">
      {anew && (
        <p class="note">
          <span class="grow">{t("This is the draft that was here before.")}</span>
          <button
            type="button"
            class="button small"
            onClick={() => {
              forgetDraft();
              anew();
            }}
          >
            {t("Begin anew")}
          </button>
        </p>
      )}
      <Begin take={take} />
      {note && (
        <p class="note" role="note">
          {note}
        </p>
      )}
      <div class="new-run-parts">
        {/* biome-ignore lint/a11y/noStaticElementInteractions: dropping is a second way to what "Open a file" does. */}
        <div
          class="stack"
          onDragOver={(event) => event.preventDefault()}
          onDrop={(event) => {
            const [file] = event.dataTransfer?.files ?? [];
            if (!file) return;
            event.preventDefault();
            void takeFile(file, take);
          }}
        >
          <section class="panel" aria-label={t("Configuration")}>
            <header>
              <h2 class="grow">{t("Configuration")}</h2>
              <input
                class="field small mono"
                aria-label={t("File name")}
                placeholder="config.toml"
                maxLength={2000}
                value={draft.path}
                onInput={(event) => change({ path: event.currentTarget.value })}
              />
            </header>
            {tooLong ? (
              <div class="body stack">
                <p class="note warn">
                  {t("The file of {size} is too long to edit here. It is queued as it is.", {
                    size: bytes(new Blob([draft.text]).size),
                  })}
                </p>
                <pre class="code">{draft.text.slice(0, 2000)}…</pre>
                <button type="button" class="button small" onClick={() => setDraft(emptyDraft)}>
                  {t("Take another")}
                </button>
              </div>
            ) : (
              <Editor
                key={edition}
                label={t("Configuration")}
                text={draft.text}
                language={format}
                settings={settings}
                places={places}
                change={(text) => change({ text })}
              />
            )}
          </section>
          {draft.dataset && (
            <section class="panel dataset-file" aria-label={t("Dataset file")}>
              <header>
                <h2 class="grow">{t("Dataset file")}</h2>
                <span class="faint mono clip">{draft.dataset.path}</span>
              </header>
              <Editor
                label={t("Dataset file")}
                text={draft.dataset.text}
                language={formatOfPath(draft.dataset.path)}
                change={(text) =>
                  change({ dataset: { text, path: draft.dataset?.path ?? "dataset.toml" } })
                }
              />
            </section>
          )}
          {draft.before !== null && <Lines before={draft.before} after={draft.text} />}
        </div>
        <div class="stack">
          <section class="panel" aria-label={t("Read from the file")}>
            <header>
              <h2>{t("Read from the file")}</h2>
            </header>
            <Findings
              answer={answer}
              error={error}
              busy={busy}
              speed={speed}
              images={draft.imagesPerEpoch}
              setImages={(imagesPerEpoch) => change({ imagesPerEpoch })}
            />
          </section>
          <SweepPanel
            sweep={sweep}
            change={setSweep}
            settings={written}
            cost={(n) => {
              const cost = costOf(speed.speed, answer?.expected.steps ?? null, n);
              return cost && costText(cost);
            }}
          />
          {variables.length > 0 && (
            <section class="panel" aria-label={t("Secrets")}>
              <header>
                <h2>{t("Secrets")}</h2>
              </header>
              <div class="body stack">
                <p>
                  {t(
                    "The ledger keeps no secrets, so this copy has none. The environment of the box that runs it must hold each of these, also as LEDGER_SECRET_NAME; another user's box must allow it by --allow-secret NAME.",
                  )}
                </p>
                {variables.map((name) => (
                  <label class="check" key={name}>
                    <input
                      type="checkbox"
                      checked={confirmed.has(name)}
                      onChange={(event) => {
                        const next = new Set(confirmed);
                        if (event.currentTarget.checked) next.add(name);
                        else next.delete(name);
                        setConfirmed(next);
                      }}
                    />
                    <span>
                      {t("The box has")} <code>{name}</code>
                    </span>
                  </label>
                ))}
              </div>
            </section>
          )}
          {left.length > 0 && (
            <p class="note bad" role="alert">
              {t(
                "[redacted] is left where no box fills it: {places}. Write a value there, or take it out.",
                {
                  places: left.slice(0, 5).join(", "),
                },
              )}
            </p>
          )}
          <section class="panel" aria-label={t("Queue")}>
            <header>
              <h2>{t("Queue")}</h2>
            </header>
            <form
              class="body stack"
              onSubmit={(event) => {
                event.preventDefault();
                if (ready) void send();
              }}
            >
              <TextField
                label={t("Name")}
                value={draft.name}
                maxLength={300}
                placeholder={answer?.task_name ?? ""}
                change={(name) => change({ name })}
              />
              <TextField
                label={isSweep ? t("Group (a sweep needs one)") : t("Group")}
                value={draft.group}
                maxLength={300}
                required={isSweep}
                change={(next) => change({ group: next })}
              />
              {!isSweep && (
                <Choice
                  label={t("How it begins")}
                  value={queued ? "queue" : "record"}
                  options={[
                    ["queue", t("A box pulls it from the queue")],
                    ["record", t("It is recorded, and started by hand")],
                  ]}
                  choose={(how) => setQueued(how === "queue")}
                />
              )}
              {(queued || isSweep) && (
                <div class="queue-fields">
                  <TextField
                    label={t("Labels that a box must have")}
                    value={labels}
                    maxLength={2000}
                    placeholder="sdxl, 24gb"
                    change={setLabels}
                  />
                  <TextField
                    label={t("Least GPU memory, GB")}
                    type="number"
                    min={0}
                    max={10_000}
                    value={memory}
                    change={setMemory}
                  />
                  <TextField
                    label={t("Priority")}
                    type="number"
                    min={-1_000_000}
                    max={1_000_000}
                    placeholder="0"
                    value={priority}
                    change={setPriority}
                  />
                  <TextField
                    label={t("Number of tries")}
                    type="number"
                    min={1}
                    max={100}
                    placeholder="3"
                    value={tries}
                    change={setTries}
                  />
                </div>
              )}
              {draft.command && (
                <p class="faint">
                  {t("Recorded as its command; a box runs the command of its own agent:")}{" "}
                  <code>{draft.command.join(" ")}</code>
                </p>
              )}
              {refused !== null && (
                <p class="note bad" role="alert">
                  <Icon name="warn" />
                  {explainError(refused)}
                </p>
              )}
              <button type="submit" class="button primary" disabled={!ready}>
                <Icon name="play" />
                {isSweep && runs !== null
                  ? t("Queue {n} runs", { n: runs })
                  : queued
                    ? t("Queue the run")
                    : t("Record the run")}
              </button>
            </form>
          </section>
        </div>
      </div>
    </div>
  );
}

const formatOfPath = (path: string) => {
  const ending = /\.(\w+)$/.exec(path)?.[1]?.toLowerCase() ?? "";
  if (ending === "json") return "json";
  if (ending === "yaml" || ending === "yml") return "yaml";
  return ending === "toml" || ending === "" ? "toml" : "text";
};
