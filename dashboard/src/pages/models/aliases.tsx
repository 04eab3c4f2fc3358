import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, expectSuccess, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import type { Alias, Model, ModelVersion } from "../../types.ts";
import { RowButton } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Choice, LongField, TextField } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { toast } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { aliasesQuery, keys } from "./queries.ts";
import { isProtected, mayMove, stateTexts } from "./states.ts";

type Asking = { what: "move" | "back" | "remove"; alias: Alias } | { what: "new" };

/** Aliases of a model with their versions and last moves, and buttons that move them. */
export function Aliases({ model, versions }: { model: Model; versions: ModelVersion[] }) {
  const me = useWho();
  const aliases = useQuery(aliasesQuery(model.name));
  const [asking, setAsking] = useState<Asking | null>(null);
  return (
    <section class="panel" aria-label={t("Aliases")}>
      <header>
        <h2 class="grow">{t("Aliases")}</h2>
        {mayMove(me, model, "") && (
          <button type="button" class="button small" onClick={() => setAsking({ what: "new" })}>
            <Icon name="plus" />
            {t("New alias")}
          </button>
        )}
      </header>
      <Loaded query={aliases} lines={2}>
        {({ aliases: items }) =>
          items.length === 0 ? (
            <p class="body muted">
              {t("No alias yet. An alias names the version to use; a release sets production.")}
            </p>
          ) : (
            <Table
              label={t("Table of aliases")}
              heads={[t("Alias"), t("Version"), t("Moved")]}
              last={t("Move")}
            >
              {items.map((alias) => (
                <tr key={alias.alias}>
                  <td>
                    <b>{alias.alias}</b>
                  </td>
                  <td>{alias.version}</td>
                  <td>
                    {alias.moved_by}, <Ago at={alias.moved_at} />
                  </td>
                  <td class="right">
                    {mayMove(me, model, alias.alias) && (
                      <span class="row">
                        {(["move", "back", "remove"] as const).map((what) => (
                          <RowButton
                            key={what}
                            text={t(labels[what])}
                            name={`${t(labels[what])} ${alias.alias}`}
                            danger={what === "remove"}
                            act={() => setAsking({ what, alias })}
                          />
                        ))}
                      </span>
                    )}
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
      {asking && (
        <MoveDialog
          asking={asking}
          model={model}
          versions={versions}
          close={() => setAsking(null)}
        />
      )}
    </section>
  );
}

const labels = { move: "Move", back: "Roll back", remove: "Remove" } as const;

/** Explains a move, asks for its reason, and makes it. */
function MoveDialog(props: {
  asking: Asking;
  model: Model;
  versions: ModelVersion[];
  close: () => void;
}) {
  const { asking, model, close } = props;
  const refresh = useRefresh();
  const now = "alias" in asking ? asking.alias : null;
  const [name, setName] = useState(now?.alias ?? "");
  const [reason, setReason] = useState("");
  const fit = props.versions.filter(
    ({ state, version }) =>
      version !== now?.version &&
      (state === "approved" ||
        state === "released" ||
        ((state === "draft" || state === "in_review") && !isProtected(model, name.trim()))),
  );
  const [wanted, setWanted] = useState("");
  const chosen = fit.find(({ version }) => String(version) === wanted) ?? fit[0];
  const title =
    now === null
      ? t("New alias")
      : t(
          asking.what === "move"
            ? "Move {alias}"
            : asking.what === "back"
              ? "Roll {alias} back"
              : "Remove {alias}",
          { alias: now.alias },
        );
  const choosing = asking.what === "move" || asking.what === "new";
  const send = async () => {
    const route = api.models[":name"].aliases[":alias"];
    const param = { name: model.name, alias: name.trim() };
    const seen = now ? { headers: { "If-Match": `"${now.move_id}"` } } : {};
    const why = reason.trim() || null;
    try {
      if (choosing && chosen)
        await read(route.$put({ param, json: { version: chosen.version, reason: why } }, seen));
      else if (asking.what === "back")
        await read(route.rollback.$post({ param, json: { reason: why } }, seen));
      else if (asking.what === "remove") await expectSuccess(route.$delete({ param }, seen));
      toast(t("Changed"));
      close();
    } finally {
      await refresh(keys.models);
    }
  };
  return (
    <Ask
      title={title}
      submit={asking.what === "new" ? t("Make the alias") : t(labels[asking.what])}
      ready={name.trim() !== "" && (!choosing || chosen !== undefined)}
      close={close}
      send={send}
    >
      {now === null && (
        <TextField label={t("Alias")} value={name} change={setName} required maxLength={50} />
      )}
      {choosing &&
        (fit.length > 0 ? (
          <Choice
            label={t("To version")}
            value={chosen ? String(chosen.version) : ""}
            options={fit.map(({ version, state }) => [
              String(version),
              `${version} · ${t(stateTexts[state])}`,
            ])}
            choose={setWanted}
          />
        ) : (
          <p class="note">
            {t("No other version may carry the alias: it needs an approved version.")}
          </p>
        ))}
      {now && (
        <p class="muted">
          {asking.what === "move" && chosen
            ? t("{alias} moves from version {from} to {to}: whoever pulls it gets that file.", {
                alias: now.alias,
                from: now.version,
                to: chosen.version,
              })
            : asking.what === "back"
              ? t("The alias leaves version {n} and returns to its previous one.", {
                  n: now.version,
                })
              : asking.what === "remove"
                ? t("Pulling the alias fails from then on. Making it again brings it back.")
                : null}
        </p>
      )}
      {asking.what !== "remove" && (
        <LongField label={t("Why? (optional)")} most={2000} value={reason} change={setReason} />
      )}
    </Ask>
  );
}
