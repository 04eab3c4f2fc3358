import { useInfiniteQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { t } from "../../i18n.ts";
import { NewButton } from "../../ui/button.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Empty, Loaded, ShowMore } from "../../ui/loading.tsx";
import { useWho } from "../../who.ts";
import { AliasBadges } from "./badges.tsx";
import { modelPath, NewModel } from "./new.tsx";
import { One } from "./one.tsx";
import { modelsQuery, reviewsQuery } from "./queries.ts";

export function Models({ name }: { name: string | undefined }) {
  return name === undefined ? <All /> : <One name={name} />;
}

/** All models, and the versions that wait for a decision. */
function All() {
  const me = useWho();
  const models = useInfiniteQuery(modelsQuery);
  const [making, setMaking] = useState(false);
  const may = me.scopes.includes("models:write");
  return (
    <div class="page">
      <div class="page-head">
        <h1 class="grow">{t("Models")}</h1>
        {may && <NewButton label={t("New model")} make={() => setMaking(true)} />}
      </div>
      {making && <NewModel close={() => setMaking(false)} />}
      <Waiting />
      <Loaded query={models} lines={8}>
        {(items) =>
          items.length === 0 ? (
            <Empty icon="models" title={t("No models yet")}>
              <p>
                {t(
                  "A model gives a checkpoint in production a name, versions and a review. Make one here, or a version on a run's page under Files.",
                )}
              </p>
            </Empty>
          ) : (
            <ul class="model-grid">
              {items.map((model) => (
                <li key={model.name}>
                  <Link class="panel model-card" href={modelPath(model.name)}>
                    <b class="clip">{model.name}</b>
                    <span class="muted model-text">{model.description}</span>
                    <span class="row wrap">
                      <AliasBadges aliases={model.aliases} />
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
          )
        }
      </Loaded>
      <ShowMore query={models} />
    </div>
  );
}

function Waiting() {
  const reviews = useInfiniteQuery(reviewsQuery);
  if (!reviews.data?.length) return null;
  return (
    <section class="panel" aria-label={t("Waits for a decision")}>
      <header>
        <h2>{t("Waits for a decision")}</h2>
      </header>
      <ul class="waiting">
        {reviews.data.map((version) => (
          <li key={`${version.model} ${version.version}`} class="row">
            <Link class="grow clip" href={modelPath(version.model)}>
              {version.model} · {version.version}
            </Link>
            <span class="muted clip">{version.submitted_by}</span>
            <Ago at={version.submitted_at} />
          </li>
        ))}
      </ul>
      <ShowMore query={reviews} />
    </section>
  );
}
