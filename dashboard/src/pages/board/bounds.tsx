import { useInfiniteQuery, useQuery } from "@tanstack/preact-query";
import { api, inPages, read } from "../../api.ts";
import { bytes, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { Meter } from "../../ui/figure.tsx";
import { Loaded, ShowMore } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { useWho } from "../../who.ts";

type Use = { bound: string; used: number; most: number | null };

/** A bound's name; one that this page does not know yet is shown as the service calls it. */
const boundText = (bound: string) =>
  ({
    tasks: t("Runs, with the trash"),
    database_bytes: t("Log points, settings and notes"),
    files: t("Files, with the trash"),
    file_bytes: t("Bytes of files"),
    uploads: t("Unfinished uploads"),
    keys: t("Keys"),
    webhooks: t("Webhooks"),
    views: t("Views"),
    rules: t("Rules of what to keep"),
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
          <span class="faint">/ {most === null ? t("without a bound") : amount(bound, most)}</span>
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

/** How much of each bound one has used; admins see who comes near theirs. */
export function Bounds() {
  const me = useWho();
  const mine = useQuery({
    queryKey: ["use", me.user_id],
    staleTime: 60_000,
    queryFn: () => read(api.me.use.$get()),
  });
  return (
    <section class="panel" aria-label={t("My bounds")}>
      <header>
        <h2 class="grow">{t("My bounds")}</h2>
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
        {t("From 80 % on the ledger warns; beyond a bound it takes no more until there is room.")}
      </p>
      {me.scopes.includes("admin") && <Everyone />}
    </section>
  );
}

function Everyone() {
  const users = useInfiniteQuery({
    queryKey: ["use", "everyone"],
    staleTime: 60_000,
    ...inPages((query) => read(api.users.use.$get({ query }))),
  });
  const rows = (users.data ?? []).map(({ user_id, user, items }) => ({
    user_id,
    user,
    items: items.toSorted((a, b) => shareOf(b) - shareOf(a)).slice(0, 3),
  }));
  return (
    <>
      <Table label={t("Bounds of everyone")} heads={[t("User"), t("Nearest to its bound")]}>
        {rows.map(({ user_id, user, items }) => (
          <tr key={user_id}>
            <td>{user}</td>
            <td>
              {items
                .filter((use) => use.used > 0)
                .map(
                  (use) =>
                    `${boundText(use.bound)}: ${amount(use.bound, use.used)} (${whole(shareOf(use) * 100)} %)`,
                )
                .join(", ")}
            </td>
          </tr>
        ))}
      </Table>
      <ShowMore query={users} />
    </>
  );
}
