import { useInfiniteQuery, useQuery } from "@tanstack/preact-query";
import { bytes, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { Meter } from "../../ui/figure.tsx";
import { Loaded, ShowMore } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { useWho } from "../../who.ts";
import { everyonesUseQuery, myUseQuery } from "./queries.ts";

type Use = { bound: string; used: number; most: number | null };

/** The label of a limit; one that this page does not know yet keeps the service's name. */
const boundText = (bound: string) =>
  ({
    tasks: t("Runs, with the trash"),
    database_bytes: t("Log points, settings and notes"),
    files: t("Files, with the trash"),
    file_bytes: t("Bytes of files"),
    uploads: t("Unfinished uploads"),
    keys: t("Keys"),
    webhooks: t("Webhooks"),
    mirrors: t("Mirrors"),
    views: t("Views"),
    dialects: t("Dialects"),
    rules: t("Retention rules"),
    models: t("Models"),
    enrolments: t("Open tokens for boxes"),
  })[bound] ?? bound;

const amount = (bound: string, n: number) => (bound.endsWith("bytes") ? bytes(n) : whole(n));
const shareOf = ({ used, most }: Use) => (most === null ? 0 : used / most);

function Bar({ use }: { use: Use }) {
  const { bound, used, most } = use;
  const share = shareOf(use);
  return (
    <li class="usage-row">
      <span class="row">
        <span class="grow">{boundText(bound)}</span>
        <span>
          <b>{amount(bound, used)}</b>{" "}
          <span class="faint">/ {most === null ? t("no limit") : amount(bound, most)}</span>
        </span>
      </span>
      <Meter
        share={share}
        kind={share >= 1 ? "failed" : share >= 0.8 ? "warning" : ""}
        label={boundText(bound)}
      />
    </li>
  );
}

/** Use of each limit by the user; admins see who comes near theirs. */
export function Bounds() {
  const me = useWho();
  const mine = useQuery(myUseQuery(me.user_id));
  return (
    <section class="panel" aria-label={t("My limits")}>
      <header>
        <h2 class="grow">{t("My limits")}</h2>
      </header>
      <Loaded query={mine}>
        {({ items }) => (
          <ul class="usage">
            {items.map((use) => (
              <Bar key={use.bound} use={use} />
            ))}
          </ul>
        )}
      </Loaded>
      <p class="body faint">
        {t("The ledger warns from 80 % on. At a limit it accepts no more until there is room.")}
      </p>
      {me.scopes.includes("admin") && <Everyone />}
    </section>
  );
}

function Everyone() {
  const users = useInfiniteQuery(everyonesUseQuery);
  const nearest = (items: Use[]) =>
    items
      .toSorted((a, b) => shareOf(b) - shareOf(a))
      .slice(0, 3)
      .filter((use) => use.used > 0);
  return (
    <>
      <Loaded query={users}>
        {(rows) => (
          <Table label={t("Everyone's limits")} heads={[t("User"), t("Closest to the limit")]}>
            {rows.map(({ user_id, user, items }) => (
              <tr key={user_id}>
                <td>{user}</td>
                <td>
                  {nearest(items)
                    .map(
                      (use) =>
                        `${boundText(use.bound)}: ${amount(use.bound, use.used)} (${whole(shareOf(use) * 100)} %)`,
                    )
                    .join(", ")}
                </td>
              </tr>
            ))}
          </Table>
        )}
      </Loaded>
      <ShowMore query={users} />
    </>
  );
}
