import { useInfiniteQuery, useQuery } from "@tanstack/preact-query";
import { Link } from "wouter-preact";
import { t } from "../../i18n.ts";
import { useTitle } from "../../title.ts";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded, ShowMore } from "../../ui/loading.tsx";
import { NoteText } from "../../ui/notes.tsx";
import { Aliases } from "./aliases.tsx";
import { AliasBadges } from "./badges.tsx";
import { Moves } from "./moves.tsx";
import { modelQuery, versionsQuery } from "./queries.ts";
import { Version } from "./version.tsx";

/** One model: its aliases, its versions with their provenance, and the moves of aliases. */
export function One({ name }: { name: string }) {
  const model = useQuery(modelQuery(name));
  const versions = useInfiniteQuery(versionsQuery(name));
  useTitle(name);
  return (
    <div class="page">
      <div class="page-head">
        <Link class="button plain icon small" href="/models" aria-label={t("Models")}>
          <Icon name="left" />
        </Link>
        <h1 class="clip">{name}</h1>
        {model.data && <AliasBadges aliases={model.data.aliases} />}
      </div>
      <Loaded query={model} lines={8}>
        {(of) => (
          <>
            {of.description && <NoteText text={of.description} />}
            <Loaded query={versions} lines={8}>
              {(items) =>
                items.length === 0 ? (
                  <Empty icon="models" title={t("No versions yet")}>
                    <p>{t("A run's page makes one of its files a version, under Files.")}</p>
                  </Empty>
                ) : (
                  <>
                    <Aliases model={of} versions={items} />
                    {items.map((version) => (
                      <Version key={version.version} model={of} version={version} />
                    ))}
                    <ShowMore query={versions} />
                    <Moves model={of.name} />
                  </>
                )
              }
            </Loaded>
          </>
        )}
      </Loaded>
    </div>
  );
}
