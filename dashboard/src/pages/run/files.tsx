import { useQuery } from "@tanstack/preact-query";
import { lazy, Suspense } from "preact/compat";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { bytes, setting, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import type { Task, Weight } from "../../types.ts";
import { Copy } from "../../ui/button.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icon.tsx";
import { fileKindText } from "../../ui/kinds.ts";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { useWho } from "../../who.ts";
import { filesQuery } from "./queries.ts";

const checks: Record<NonNullable<Weight["verified"]>, Text> = {
  sha256: "SHA-256 checked",
  parts: "parts checked",
  size: "size checked",
};

/** Checkpoints and final weights, with the facts of their headers. */
export function Files({ task }: { task: Task }) {
  return (
    <Loaded query={useQuery(filesQuery(task.id))} lines={6}>
      {({ items }) => <FilesPanel items={items} />}
    </Loaded>
  );
}

const MakeVersion = lazy(() => import("../models/new.tsx").then((module) => module.MakeVersion));

/** A button that asks for the model which a file becomes a version of; nothing for who may not. */
export function VersionButton({ file }: { file: Pick<Weight, "id" | "filename"> }) {
  const me = useWho();
  const [making, setMaking] = useState(false);
  if (!me.scopes.includes("models:write")) return null;
  return (
    <>
      <button
        type="button"
        class="button small"
        aria-label={t("Make a version of {name}", { name: file.filename })}
        onClick={() => setMaking(true)}
      >
        <Icon name="models" />
        {t("Make a version…")}
      </button>
      {making && (
        <Suspense fallback={null}>
          <MakeVersion file={file} close={() => setMaking(false)} />
        </Suspense>
      )}
    </>
  );
}
/** Kinds of files that a new run can go on from. */
const continues = new Set<Weight["kind"]>(["checkpoint", "final", "state"]);

function FilesPanel({ items }: { items: Weight[] }) {
  const may = useWho().scopes.includes("tasks:write");
  const files = items.filter(({ kind }) => kind !== "sample");
  if (files.length === 0)
    return (
      <Empty icon="file" title={t("No files yet")}>
        <p>{t("Checkpoints appear here as the trainer writes them.")}</p>
      </Empty>
    );
  return (
    <section class="panel">
      <Table
        label={t("Table of files")}
        heads={[
          t("File"),
          [t("Kind"), "wide-only"],
          [t("Epoch"), "number wide-only"],
          [t("Step"), "number wide-only"],
          [t("Size"), "number wide-only"],
          [t("In the file"), "wide-only"],
          [t("Created"), "wide-only"],
        ]}
        last={t("Download")}
      >
        {files.map((file) => (
          <tr key={file.id}>
            <td>
              <span class="mono">{file.filename}</span>
              <br />
              <span class="muted narrow-only">
                {fileKindText(file)} {bytes(file.size)}{" "}
              </span>
              <span class="faint">
                <code title={file.sha256}>{file.sha256.slice(0, 12)}</code>
                {file.verified && ` · ${t(checks[file.verified])}`}
              </span>
            </td>
            <td class="wide-only">{fileKindText(file)}</td>
            <td class="number wide-only">{setting(file.epoch)}</td>
            <td class="number wide-only">{typeof file.step === "number" && whole(file.step)}</td>
            <td class="number wide-only">{bytes(file.size)}</td>
            <td class="wide-only">
              {file.rank !== null &&
                t("rank {rank}, alpha {alpha}", {
                  rank: file.rank,
                  alpha: setting(file.alpha) || "–",
                })}
              {file.mismatches?.map(({ field, file: inFile, task: inTask }) => (
                <span key={field} class="row warn-text">
                  <Icon name="warn" />
                  {t("{field}: {file} in the file, {task} in the settings", {
                    field,
                    file: setting(inFile),
                    task: setting(inTask),
                  })}
                </span>
              ))}
            </td>
            <td class="wide-only">
              <Ago at={file.created_at} />
            </td>
            <td class="right">
              {file.state === "complete" ? (
                <span class="row">
                  {(file.kind === "final" || file.kind === "checkpoint") && (
                    <VersionButton file={file} />
                  )}
                  <span class="wide-only">
                    <Copy text={file.sha256} label="SHA-256" plain />
                  </span>
                  {continues.has(file.kind) && may && (
                    <Link
                      class="button small wide-only"
                      href={`/new?task=${file.task_id}&weight=${file.id}`}
                      aria-label={t("Continue from {name}", { name: file.filename })}
                    >
                      <Icon name="play" />
                      {t("Continue")}
                    </Link>
                  )}
                  <a
                    class="button small"
                    href={`/api/weights/${file.id}/download`}
                    download={file.filename.split("/").at(-1)}
                    aria-label={t("Download {name}", { name: file.filename })}
                  >
                    <Icon name="download" />
                    {t("Download")}
                  </a>
                </span>
              ) : (
                <span class="faint">{t("uploading")}</span>
              )}
            </td>
          </tr>
        ))}
      </Table>
    </section>
  );
}
