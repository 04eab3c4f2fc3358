import { useQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { Link } from "wouter-preact";
import type { api } from "../../api.ts";
import { bytes, dateOnly, whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { useAddress } from "../../state.ts";
import { Parts } from "../../ui/figure.tsx";
import { Segments } from "../../ui/form.tsx";
import { kindText } from "../../ui/kinds.ts";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { storageQuery, trashQuery } from "./queries.ts";
import { RetentionRules } from "./retention-rules.tsx";
import { runsWhere } from "./text.ts";

type Answer = InferResponseType<typeof api.storage.$get, 200>;

const groupings = [
  ["group", "By group"],
  ["user", "By user"],
  ["kind", "By kind"],
] as const satisfies readonly (readonly [string, Text])[];

/** Space of files by group, user or kind; the trash, and the retention rules. */
export function Storage() {
  const { params, change } = useAddress();
  const by = groupings.find(([name]) => name === params.get("by"))?.[0] ?? "group";
  return (
    <Loaded query={useQuery(storageQuery(by))} lines={8}>
      {(data) => <Space data={data} by={by} choose={(next) => change({ by: next })} />}
    </Loaded>
  );
}

type By = (typeof groupings)[number][0];

function Space({ data, by, choose }: { data: Answer; by: By; choose: (by: By) => void }) {
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
          <h2 class="grow">{t("Use of space")}</h2>
          <Segments
            label={t("Arranged by")}
            value={by}
            choose={choose}
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
            label={t("Use of space")}
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
        <RetentionRules />
        <Trash />
      </div>
    </>
  );
}

/** The trash by the day of its purge. */
function Trash() {
  const trash = useQuery(trashQuery);
  return (
    <section class="panel" aria-label={t("Trash")}>
      <header class="wrap">
        <h2 class="grow">{t("Trash, by day of purge")}</h2>
        <Link class="button small" href="/runs?deleted=true">
          {t("Deleted runs")}
        </Link>
      </header>
      <Loaded query={trash}>
        {(data) =>
          data.days.length === 0 ? (
            <Empty icon="trash" title={t("The trash is empty")}>
              <p>
                {t("Deleted runs and files can be restored for {n} days.", { n: data.trash_days })}
              </p>
            </Empty>
          ) : (
            <>
              <Table
                label={t("Trash, by day of purge")}
                heads={[
                  t("Purged on"),
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
                {t("Files that a model version or another run needs stay longer.")}{" "}
                {!data.complete && t("There is more; the first to be purged is shown.")}
              </p>
            </>
          )
        }
      </Loaded>
    </section>
  );
}
