import { useQuery } from "@tanstack/preact-query";
import { Link } from "wouter-preact";
import { isSystemMetric } from "../../../../src/shared/system-metrics.ts";
import { measure, money, textAt, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import type { ModelVersion } from "../../types.ts";
import { Ago, Fact } from "../../ui/figure.tsx";
import { Loaded } from "../../ui/loading.tsx";
import { provenanceQuery } from "./queries.ts";

const decisions: Record<"approved" | "rejected", Text> = {
  approved: "Approved",
  rejected: "Rejected",
};

/** Samples that are shown; the run's own page has them all, and plays those that move. */
const MOST_SAMPLES = 8;
const image = /\.(?:png|jpe?g|webp)$/i;

/** The provenance of a version: run, data, figures, samples, cost, and the decision with its evidence. */
export function Provenance({ version }: { version: ModelVersion }) {
  const query = useQuery(provenanceQuery(version.model, version.version));
  return (
    <Loaded query={query}>
      {({ task, datasets, metrics, samples, review, cost, parties, checks_changes }) => (
        <dl class="facts">
          <Fact name={t("Run")}>
            {task ? (
              <>
                <Link href={`/runs/${version.task_id}`}>{textAt(task, "task_name")}</Link> ·{" "}
                {t("Final loss")} {measure(task.final_loss) || "–"} ·{" "}
                <Link href={`/runs/${version.task_id}?tab=parameters`}>{t("Parameters")}</Link>
              </>
            ) : (
              t("It was deleted.")
            )}
          </Fact>
          <Fact name={t("Base model")}>{textAt(task, "base_model_path")}</Fact>
          <Fact name={t("Trainer")}>{textAt(task, "trainer")}</Fact>
          <Fact name={t("Commit")}>{textAt(task, "git_commit")}</Fact>
          <Fact name={t("GPU")}>{textAt(task, "gpu_info")}</Fact>
          <Fact name={t("Figures")}>
            {Object.entries(metrics)
              .filter(([name]) => !isSystemMetric(name))
              .slice(0, 6)
              .map(([name, { last, min }]) =>
                t("{metric}: last value {last}, lowest {low}", {
                  metric: name,
                  last: measure(last),
                  low: measure(min),
                }),
              )
              .join(" · ")}
          </Fact>
          <Fact name={t("Data")}>
            {datasets.length === 0
              ? "–"
              : datasets.map((data) => (
                  <div key={data.id}>
                    {data.name}
                    {typeof data.image_count === "number" &&
                      ` · ${t("{n} images", { n: whole(data.image_count) })}`}{" "}
                    <code>{data.hash.slice(0, 12)}</code>
                  </div>
                ))}
          </Fact>
          <Fact name={t("Cost")}>{cost.lineage === null ? "" : money(cost.lineage)}</Fact>
          <Fact name={t("Samples")}>
            {samples.length > 0 && (
              <Link
                class="row wrap version-samples"
                href={`/runs/${version.task_id}?tab=samples`}
                aria-label={t("{n} samples of its run", { n: samples.length })}
              >
                {samples
                  .filter(({ filename }) => image.test(filename))
                  .slice(0, MOST_SAMPLES)
                  .map((sample) => (
                    <img
                      key={sample.weight_id}
                      src={`/api/weights/${sample.weight_id}/download`}
                      alt={sample.prompt ?? sample.filename}
                      loading="lazy"
                    />
                  ))}
              </Link>
            )}
          </Fact>
          <Fact name={t("Involved")}>
            {t("{names}: cannot decide on this version.", { names: parties.join(", ") })}
          </Fact>
          <Fact name={t("Checks changed")}>
            {checks_changes.length === 0
              ? null
              : checks_changes.map(({ at, by, loosened }) => (
                  <div key={at}>
                    {by}, <Ago at={at} />
                    {loosened.length > 0 && (
                      <>
                        {" "}
                        <span class="badge failed">{t("loosened")}</span> {loosened.join(", ")}
                      </>
                    )}
                  </div>
                ))}
          </Fact>
          <Fact name={t("Decision")}>
            {review ? (
              <>
                <span class={`badge ${review.decision}`}>{t(decisions[review.decision])}</span>{" "}
                {review.reviewer}, <Ago at={review.at} />
                {review.reason && <p class="notes">{review.reason}</p>}
                <details>
                  <summary>{t("Evidence")}</summary>
                  <pre class="code inline">{JSON.stringify(review.evidence, null, 2)}</pre>
                </details>
              </>
            ) : (
              t("None yet.")
            )}
          </Fact>
        </dl>
      )}
    </Loaded>
  );
}
