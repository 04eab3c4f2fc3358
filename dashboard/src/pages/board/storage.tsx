import { keepPreviousData, useQuery } from "@tanstack/preact-query";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { bytes, dateOnly, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { Parts } from "../../ui/figure.tsx";
import { Segments } from "../../ui/form.tsx";
import { kindText } from "../../ui/kinds.ts";
import { Empty, Skeleton, Trouble } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { KeepRules } from "./keep-rules.tsx";
import { runsWhere } from "./text.ts";

const groupings = [
  ["group", "By group"],
  ["user", "By user"],
  ["kind", "By kind"],
] as const satisfies readonly (readonly [string, Text])[];

/** What files take, by whose they are; what lies in the trash, and what could go. */
export function Storage() {
  const { params, change } = useAddress();
  const by = groupings.find(([name]) => name === params.get("by"))?.[0] ?? "group";
  const { data, error, refetch } = useQuery({
    queryKey: ["storage", by],
    placeholderData: keepPreviousData,
    queryFn: () => read(api.storage.$get({ query: { by } })),
  });
  if (error && !data) return <Trouble error={error} again={() => void refetch()} />;
  if (!data) return <Skeleton lines={8} />;
  const { stored, total, items } = data;
  const most = Math.max(...items.map((item) => item.bytes + item.trash_bytes), 0);
  const tiles = [
    [
      t("In the bucket"),
      bytes(stored.bytes),
      t("{n} files, each once", { n: whole(stored.objects) }),
    ],
    [t("Files of runs"), bytes(total.bytes), t("{n} files", { n: whole(total.files) })],
    [t("In the trash"), bytes(total.trash_bytes), t("{n} files", { n: whole(total.trash_files) })],
  ] as const;
  return (
    <>
      <ul class="tiles">
        {tiles.map(([name, value, aside]) => (
          <li key={name} class="panel tile">
            <span class="muted">{name}</span>
            <b>{value}</b>
            <span class="faint">{aside}</span>
          </li>
        ))}
      </ul>
      <section class="panel">
        <header class="wrap">
          <h2 class="grow">{t("What takes the space")}</h2>
          <Segments
            label={t("Arranged by")}
            value={by}
            choose={(next) => change({ by: next })}
            options={groupings.map(([name, text]) => [name, t(text)] as const)}
          />
        </header>
        {items.length === 0 ? (
          <Empty icon="file" title={t("Nothing is stored yet.")}>
            <p>
              {t("ledger.py run uploads checkpoints and final weights as the trainer writes them.")}
            </p>
          </Empty>
        ) : (
          <Table
            label={t("What takes the space")}
            heads={[
              by === "group" ? t("Group") : by === "user" ? t("User") : t("Kind"),
              [t("Files"), "number wide-only"],
              [t("Size"), "number"],
              [t("In the trash"), "number"],
            ]}
            last={[t("Share"), "bar-cell wide-only"]}
          >
            {items.map((item) => {
              const name = item[by] ?? null;
              return (
                <tr key={name ?? ""}>
                  <td>
                    {by === "kind" ? (
                      kindText(name ?? "")
                    ) : (
                      <Link href={runsWhere(by === "group" ? "experiment_group" : "user", name)}>
                        {name ?? t("Without a group")}
                      </Link>
                    )}
                  </td>
                  <td class="number wide-only">{whole(item.files)}</td>
                  <td class="number">
                    <b>{bytes(item.bytes)}</b>
                  </td>
                  <td class="number">{item.trash_bytes > 0 ? bytes(item.trash_bytes) : ""}</td>
                  <td class="bar-cell wide-only">
                    <Parts
                      of={most}
                      parts={[
                        ["stored", item.bytes],
                        ["trash", item.trash_bytes],
                      ]}
                    />
                  </td>
                </tr>
              );
            })}
          </Table>
        )}
      </section>
      {items.length === 200 && <p class="faint">{t("The largest 200 are shown.")}</p>}
      <div class="board-columns even">
        <KeepRules />
        <Trash />
      </div>
    </>
  );
}

/** What is in the trash, by the day on which it goes for good. */
function Trash() {
  const { data, error, refetch } = useQuery({
    queryKey: ["trash"],
    staleTime: 5 * 60_000,
    queryFn: () => read(api.storage.trash.$get()),
  });
  return (
    <section class="panel" aria-label={t("Trash")}>
      <header class="wrap">
        <h2 class="grow">{t("Trash, and when it goes")}</h2>
        <Link class="button small" href="/runs?deleted=true">
          {t("Deleted runs")}
        </Link>
      </header>
      {error && !data ? (
        <Trouble error={error} again={() => void refetch()} />
      ) : !data ? (
        <div class="body">
          <Skeleton />
        </div>
      ) : data.days.length === 0 ? (
        <Empty icon="trash" title={t("The trash is empty")}>
          <p>{t("What is deleted can be restored for {n} days.", { n: data.trash_days })}</p>
        </Empty>
      ) : (
        <>
          <Table
            label={t("Trash, and when it goes")}
            heads={[
              t("Goes on"),
              [t("Runs"), "number"],
              [t("Files"), "number"],
              [t("Size"), "number"],
            ]}
          >
            {data.days.map((day) => (
              <tr key={day.goes_on}>
                <td>{dateOnly(day.goes_on)}</td>
                <td class="number">{day.runs > 0 ? whole(day.runs) : ""}</td>
                <td class="number">{whole(day.files)}</td>
                <td class="number">{bytes(day.bytes)}</td>
              </tr>
            ))}
          </Table>
          <p class="faint body">
            {t("What a model version or another run stands on stays longer.")}{" "}
            {!data.complete && t("There is more; what goes first is shown.")}
          </p>
        </>
      )}
    </section>
  );
}
