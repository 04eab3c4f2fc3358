import { useQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import type { api } from "../../api.ts";
import { bytes, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { Meter } from "../../ui/figure.tsx";
import { kindText } from "../../ui/kinds.ts";
import { Loaded } from "../../ui/loading.tsx";
import { Bounds } from "./bounds.tsx";
import { usageQuery } from "./queries.ts";

type Answer = InferResponseType<typeof api.board.usage.$get, 200>;

/** Limits of the free plans of Cloudflare Workers, Turso and R2; their own pages have the current ones. */
const free = {
  requestsADay: 100_000,
  rowsReadAMonth: 500_000_000,
  rowsWrittenAMonth: 10_000_000,
  databaseBytes: 5_000_000_000,
  bucketBytes: 10_000_000_000,
};

/** Use of the ledger beside the limits of the free plans, and the users' own limits. */
export function Usage() {
  return (
    <>
      <FreePlans />
      <Bounds />
    </>
  );
}

function FreePlans() {
  return <Loaded query={useQuery(usageQuery)}>{(data) => <FreePlansPanel data={data} />}</Loaded>;
}

function FreePlansPanel({ data }: { data: Answer }) {
  const today = new Date().toISOString().slice(0, 10);
  const month = data.days.filter(({ day }) => day.startsWith(today.slice(0, 7)));
  const sum = (name: "rows_read" | "rows_written") =>
    month.reduce((total, day) => total + day[name], 0);
  // Drawn from a share of the requests.
  const about = (n: number) => (data.rows_estimated ? `≈ ${whole(n)}` : whole(n));
  const rows: [string, number | null, number, (n: number) => string][] = [
    [
      t("Requests today"),
      data.days.find(({ day }) => day === today)?.requests ?? 0,
      free.requestsADay,
      whole,
    ],
    [t("Rows read this month"), sum("rows_read"), free.rowsReadAMonth, about],
    [t("Rows written this month"), sum("rows_written"), free.rowsWrittenAMonth, about],
    [t("Database"), data.database_bytes, free.databaseBytes, bytes],
    [t("Files"), data.bucket_bytes, free.bucketBytes, bytes],
  ];
  const most = Math.max(1, ...data.by_kind.map((kind) => kind.bytes));
  return (
    <section class="panel" aria-label={t("Use")}>
      <header>
        <h2 class="grow">{t("Use, beside the free plans")}</h2>
      </header>
      <div class="usage">
        <ul class="stack">
          {rows.map(([name, used, limit, text]) => (
            <li key={name} class="usage-row">
              <span class="row">
                <span class="grow">{name}</span>
                {used === null ? (
                  <span class="faint">{t("not counted here")}</span>
                ) : (
                  <span>
                    <b>{text(used)}</b>{" "}
                    <span class="faint">/ {(text === about ? whole : text)(limit)}</span>
                  </span>
                )}
              </span>
              <Meter
                share={(used ?? 0) / limit}
                kind={
                  (used ?? 0) > limit * 0.9 ? "failed" : (used ?? 0) > limit * 0.7 ? "warning" : ""
                }
                label={name}
              />
            </li>
          ))}
        </ul>
        <div class="stack">
          <h3>{t("{n} stored files by kind", { n: whole(data.bucket_objects) })}</h3>
          {data.by_kind.length === 0 ? (
            <p class="faint">{t("Nothing is stored yet.")}</p>
          ) : (
            <ol class="stack">
              {data.by_kind.map(({ kind, files, bytes: size }) => (
                <li key={kind} class="usage-kind">
                  <span>{kindText(kind)}</span>
                  <span class="bar" aria-hidden="true">
                    <i style={{ width: `${(size / most) * 100}%` }} />
                  </span>
                  <span class="right faint">{whole(files)}</span>
                  <span class="right">{bytes(size)}</span>
                </li>
              ))}
            </ol>
          )}
        </div>
      </div>
      <p class="body faint">
        {data.rows_estimated
          ? t("Rows are estimated from one request in twenty, without the scheduled job's.")
          : t("Rows are those of requests, without the scheduled job's.")}
      </p>
    </section>
  );
}
