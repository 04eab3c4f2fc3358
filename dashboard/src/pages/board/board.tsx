import type { ComponentType } from "preact";
import { lazy, Suspense } from "preact/compat";
import { useEffect, useRef } from "preact/hooks";
import { Link } from "wouter-preact";
import { type Text, t } from "../../i18n.ts";
import { useTitle } from "../../title.ts";
import { Empty, Skeleton } from "../../ui/loading.tsx";

/** The parts of the board, each with an address and a chunk of its own. */
const parts = [
  ["now", "Now", lazy(() => import("./now.tsx").then((page) => page.Now))],
  ["queue", "Queue", lazy(() => import("./queue.tsx").then((page) => page.Queue))],
  ["boxes", "Boxes", lazy(() => import("./boxes.tsx").then((page) => page.Boxes))],
  ["money", "Money", lazy(() => import("./money.tsx").then((page) => page.Money))],
  ["storage", "Storage", lazy(() => import("./storage.tsx").then((page) => page.Storage))],
  ["alerts", "Alerts", lazy(() => import("./alerts.tsx").then((page) => page.Alerts))],
  ["usage", "Use", lazy(() => import("./usage.tsx").then((page) => page.Usage))],
] as const satisfies readonly (readonly [string, Text, ComponentType])[];

/** The board: running, waiting and failed runs, boxes, costs, storage and alerts. */
export function Board({ part = "now" }: { part?: string }) {
  const tabs = useRef<HTMLElement>(null);
  // On a phone not all of them fit beside each other.
  useEffect(() => {
    tabs.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }, [part]);
  const known = parts.find(([name]) => name === part);
  const Part = known?.[2];
  useTitle(known ? t(known[1]) : t("There is no such page"));
  return (
    <div class="page">
      <div class="page-head">
        <h1 class="grow">{t("Board")}</h1>
      </div>
      <nav class="tabs" ref={tabs} aria-label={t("Board")}>
        {parts.map(([name, text]) => (
          <Link
            key={name}
            href={name === "now" ? "/board" : `/board/${name}`}
            aria-current={part === name ? "page" : undefined}
          >
            {t(text)}
          </Link>
        ))}
      </nav>
      {Part ? (
        <Suspense fallback={<Skeleton lines={8} />}>
          <Part />
        </Suspense>
      ) : (
        <Empty icon="search" title={t("There is no such page")} />
      )}
    </div>
  );
}
