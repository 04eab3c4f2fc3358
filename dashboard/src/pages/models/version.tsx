import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { bytes, setting } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Model, ModelVersion } from "../../types.ts";
import { Ago, Fact } from "../../ui/figure.tsx";
import { Icon } from "../../ui/icon.tsx";
import { NoteText } from "../../ui/notes.tsx";
import { useWho } from "../../who.ts";
import { Provenance } from "./provenance.tsx";
import { provenanceQuery } from "./queries.ts";
import { stateTexts } from "./states.ts";
import { type Step, StepDialog, stepsFor, stepTexts } from "./steps.tsx";

const looks: Partial<Record<Step, string>> = {
  approve: "primary",
  release: "primary",
  reject: "danger",
  retire: "danger",
};

/** A version: its file, its provenance, and the steps that the user may take. */
export function Version({ model, version }: { model: Model; version: ModelVersion }) {
  const me = useWho();
  const [asking, setAsking] = useState<Step | null>(null);
  const [open, setOpen] = useState(false);
  const decides = version.state === "in_review" && me.scopes.includes("models:approve");
  const { data: origin } = useQuery({
    ...provenanceQuery(version.model, version.version),
    enabled: decides,
  });
  const hasPart = origin?.parties.includes(me.name);
  const isOffered = (step: Step) => (step !== "approve" && step !== "reject") || hasPart === false;
  return (
    <section class="panel" aria-label={t("Version {n}", { n: version.version })}>
      <header class="wrap">
        <h2>{t("Version {n}", { n: version.version })}</h2>
        <span class={`badge ${version.state}`}>{t(stateTexts[version.state])}</span>
        {version.aliases.map((alias) => (
          <span key={alias} class="badge">
            {alias}
          </span>
        ))}
        <span class="grow" />
        {decides && hasPart && (
          <span class="faint">{t("Somebody else decides: you had a part in it.")}</span>
        )}
        {stepsFor(me, model, version)
          .filter(isOffered)
          .map((step) => (
            <button
              key={step}
              type="button"
              class={`button small ${looks[step] ?? ""}`}
              onClick={() => setAsking(step)}
            >
              {t(stepTexts[step])}
            </button>
          ))}
        <a class="button small" href={`/api/weights/${version.weight_id}/download`} download>
          <Icon name="download" />
          {t("Download")}
        </a>
      </header>
      <dl class="facts version-facts">
        <Fact name={t("File")}>
          <span class="mono">{version.filename}</span> · {bytes(version.size)}
          {version.rank !== null &&
            ` · ${t("rank {rank}, alpha {alpha}", { rank: version.rank, alpha: setting(version.alpha) || "–" })}`}
        </Fact>
        <Fact name="SHA-256">
          <code>{version.sha256}</code>
          {version.sha256_is === "announced" &&
            ` · ${t("as the uploader announced it; not computed here")}`}
        </Fact>
        <Fact name={t("From run")}>
          <Link href={`/runs/${version.task_id}`}>#{version.task_id}</Link> · {version.created_by},{" "}
          <Ago at={version.created_at} />
        </Fact>
        <Fact name={t("Submitted")}>
          {version.submitted_by && (
            <>
              {version.submitted_by}, <Ago at={version.submitted_at} />
            </>
          )}
        </Fact>
        <Fact name={t("License")}>{version.license}</Fact>
        <Fact name={t("Notes")}>{version.notes && <NoteText text={version.notes} />}</Fact>
      </dl>
      <details class="provenance" onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{t("Provenance and decision")}</summary>
        {open && <Provenance version={version} />}
      </details>
      {asking && (
        <StepDialog step={asking} model={model} version={version} close={() => setAsking(null)} />
      )}
    </section>
  );
}
