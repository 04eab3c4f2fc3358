import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { bytes, measure, setting } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import type { ModelVersion } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { Ago, Dialog, Empty, Skeleton, Trouble } from "../../ui/parts.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { said } from "../run/facts.tsx";

const states: Record<ModelVersion["state"], Text> = {
  draft: "Draft",
  in_review: "In review",
  approved: "Approved",
  rejected: "Rejected",
  released: "Released",
  retired: "Retired",
};

export function Models({ name }: { name: string | undefined }) {
  return name === undefined ? <All /> : <One name={name} />;
}

/** All models, and what waits for a decision. */
function All() {
  const models = useQuery({
    queryKey: ["models"],
    queryFn: () => read(api.models.$get({ query: { limit: "200" } })),
  });
  const reviews = useQuery({
    queryKey: ["reviews"],
    queryFn: () => read(api.reviews.$get({ query: { limit: "50" } })),
  });
  return (
    <div class="page">
      <div class="page-head">
        <h1>{t("Models")}</h1>
      </div>
      {(reviews.data?.items.length ?? 0) > 0 && (
        <section class="panel" aria-label={t("Waits for a decision")}>
          <header>
            <h2>{t("Waits for a decision")}</h2>
          </header>
          <ul class="waiting">
            {reviews.data?.items.map((version) => (
              <li key={`${version.model} ${version.version}`} class="row">
                <Link class="grow clip" href={`/models/${encodeURIComponent(version.model)}`}>
                  {version.model} · {version.version}
                </Link>
                <span class="muted clip">{version.submitted_by}</span>
                <Ago at={version.submitted_at} />
              </li>
            ))}
          </ul>
        </section>
      )}
      {models.error ? (
        <Trouble error={models.error} again={() => void models.refetch()} />
      ) : !models.data ? (
        <Skeleton lines={8} />
      ) : models.data.items.length === 0 ? (
        <Empty icon="models" title={t("No models yet")}>
          <p>
            {t(
              "A model gives the checkpoint that goes live a name, versions and a review: POST /api/models makes one.",
            )}
          </p>
          <a class="button" href="/docs/">
            {t("The API")}
          </a>
        </Empty>
      ) : (
        <ul class="model-grid">
          {models.data.items.map((model) => (
            <li key={model.name}>
              <Link class="panel model-card" href={`/models/${encodeURIComponent(model.name)}`}>
                <b class="clip">{model.name}</b>
                <span class="muted model-text">{model.description}</span>
                <span class="row wrap">
                  {Object.entries(model.aliases).map(([alias, version]) => (
                    <span key={alias} class={`badge ${alias === "production" ? "success" : ""}`}>
                      {alias} → {version}
                    </span>
                  ))}
                  {model.latest_version !== null && (
                    <span class="faint">
                      {t("latest version {n}", { n: model.latest_version })}
                    </span>
                  )}
                </span>
              </Link>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** One model: its versions, where each comes from, and what may be decided on it. */
function One({ name }: { name: string }) {
  const param = { name };
  const model = useQuery({
    queryKey: ["model", name],
    queryFn: () => read(api.models[":name"].$get({ param })),
  });
  const versions = useQuery({
    queryKey: ["versions", name],
    placeholderData: keepPreviousData,
    queryFn: () => read(api.models[":name"].versions.$get({ param, query: { limit: "100" } })),
  });
  const error = model.error ?? versions.error;
  return (
    <div class="page">
      <div class="page-head">
        <Link class="button plain icon small" href="/models" aria-label={t("Models")}>
          <Icon name="left" />
        </Link>
        <h1 class="clip">{name}</h1>
        {Object.entries(model.data?.aliases ?? {}).map(([alias, version]) => (
          <span key={alias} class={`badge ${alias === "production" ? "success" : ""}`}>
            {alias} → {version}
          </span>
        ))}
      </div>
      {model.data?.description && <p class="notes muted">{model.data.description}</p>}
      {error ? (
        <Trouble error={error} again={() => void versions.refetch()} />
      ) : !versions.data ? (
        <Skeleton lines={8} />
      ) : versions.data.items.length === 0 ? (
        <Empty icon="models" title={t("No versions yet")} />
      ) : (
        versions.data.items.map((version) => <Version key={version.version} version={version} />)
      )}
    </div>
  );
}

type Step = "submit" | "approve" | "reject" | "release" | "retire";
const stepTexts: Record<Step, Text> = {
  submit: "Submit for review",
  approve: "Approve",
  reject: "Reject",
  release: "Release",
  retire: "Retire",
};
const stepsFrom: Record<ModelVersion["state"], Step[]> = {
  draft: ["submit"],
  in_review: ["approve", "reject"],
  approved: ["release", "retire"],
  released: ["retire"],
  rejected: [],
  retired: [],
};

function Version({ version }: { version: ModelVersion }) {
  const me = useWho();
  const client = useQueryClient();
  const [asking, setAsking] = useState<Step | null>(null);
  const [reason, setReason] = useState("");
  const [open, setOpen] = useState(false);
  const may = (step: Step) =>
    me.scopes.includes(step === "submit" ? "models:write" : "models:approve");
  const param = { name: version.model, number: String(version.version) };
  const provenance = useQuery({
    queryKey: ["version", version.model, version.version, version.updated_at],
    enabled: open,
    queryFn: () => read(api.models[":name"].versions[":number"].$get({ param })),
  });
  const take = (step: Step) =>
    attempt(async () => {
      const route = api.models[":name"].versions[":number"];
      const json = { reason: reason.trim() || null };
      if (step === "submit") await read(route.submit.$post({ param }));
      else if (step === "approve") await read(route.approve.$post({ param, json }));
      else if (step === "reject")
        await read(route.reject.$post({ param, json: { reason: reason.trim() } }));
      else if (step === "release") await read(route.release.$post({ param, json }));
      else await read(route.retire.$post({ param, json }));
      setAsking(null);
      setReason("");
      for (const key of ["versions", "model", "models", "reviews"])
        await client.invalidateQueries({ queryKey: [key] });
    }, t(states[after[step]]));
  const task = provenance.data?.task;
  const review = provenance.data?.review;
  return (
    <section class="panel" aria-label={t("Version {n}", { n: version.version })}>
      <header class="wrap">
        <h2>{t("Version {n}", { n: version.version })}</h2>
        <span class={`badge ${version.state}`}>{t(states[version.state])}</span>
        {version.aliases.map((alias) => (
          <span key={alias} class="badge">
            {alias}
          </span>
        ))}
        <span class="grow" />
        {stepsFrom[version.state].filter(may).map((step) => (
          <button
            key={step}
            type="button"
            class={`button small ${step === "reject" || step === "retire" ? "danger" : step === "approve" || step === "release" ? "primary" : ""}`}
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
        <div class="fact">
          <dt>{t("File")}</dt>
          <dd>
            <span class="mono">{version.filename}</span> · {bytes(version.size)}
            {version.rank !== null &&
              ` · ${t("rank {rank}, alpha {alpha}", { rank: version.rank, alpha: setting(version.alpha) || "–" })}`}
          </dd>
        </div>
        <div class="fact">
          <dt>SHA-256</dt>
          <dd>
            <code>{version.sha256}</code>
          </dd>
        </div>
        <div class="fact">
          <dt>{t("From run")}</dt>
          <dd>
            <Link href={`/runs/${version.task_id}`}>#{version.task_id}</Link> · {version.created_by}
            , <Ago at={version.created_at} />
          </dd>
        </div>
        {version.notes && (
          <div class="fact">
            <dt>{t("Notes")}</dt>
            <dd class="notes">{version.notes}</dd>
          </div>
        )}
      </dl>
      <details class="provenance" onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{t("Where it comes from, and who agreed")}</summary>
        {provenance.error ? (
          <Trouble error={provenance.error} />
        ) : !provenance.data ? (
          open && <Skeleton />
        ) : (
          <dl class="facts">
            <div class="fact">
              <dt>{t("Run")}</dt>
              <dd>
                {task
                  ? `${said(task, "task_name")} · ${t("Final loss")} ${measure(task.final_loss) || "–"}`
                  : t("It was deleted.")}
              </dd>
            </div>
            <div class="fact">
              <dt>{t("Base model")}</dt>
              <dd>{said(task, "base_model_path")}</dd>
            </div>
            <div class="fact">
              <dt>{t("Data")}</dt>
              <dd>{provenance.data.datasets.map(({ name }) => name).join(", ") || "–"}</dd>
            </div>
            <div class="fact">
              <dt>{t("Decision")}</dt>
              <dd class="notes">
                {review
                  ? `${review.reviewer}: ${review.decision} ${review.reason ?? ""}`
                  : t("None yet.")}
              </dd>
            </div>
          </dl>
        )}
      </details>
      {asking && (
        <Dialog
          title={`${t(stepTexts[asking])}: ${version.model} · ${version.version}`}
          close={() => setAsking(null)}
        >
          {asking !== "submit" && (
            <label class="labelled">
              {asking === "reject" ? t("Why?") : t("Why? (optional)")}
              <textarea
                class="field"
                maxLength={5000}
                value={reason}
                onInput={(event) => setReason(event.currentTarget.value)}
              />
            </label>
          )}
          <div class="actions">
            <button type="button" class="button" onClick={() => setAsking(null)}>
              {t("Back")}
            </button>
            <button
              type="button"
              class="button primary"
              disabled={asking === "reject" && !reason.trim()}
              onClick={() => void take(asking)}
            >
              {t(stepTexts[asking])}
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

const after: Record<Step, ModelVersion["state"]> = {
  submit: "in_review",
  approve: "approved",
  reject: "rejected",
  release: "released",
  retire: "retired",
};
