import { useQuery } from "@tanstack/preact-query";
import { lazy, Suspense } from "preact/compat";
import { useCallback, useMemo } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { splitAtCommas } from "../../../../src/shared/setting-path.ts";
import { refusalOf } from "../../api.ts";
import { lineStyles, MOST_RUNS } from "../../chart/line-styles.ts";
import { useSeveral } from "../../chart/several-view.ts";
import { setting } from "../../format.ts";
import { t } from "../../i18n.ts";
import { useChanges } from "../../live.ts";
import { chosenQuery } from "../../queries.ts";
import { idsOf } from "../../state.ts";
import type { Row, Status } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded, Skeleton, Trouble } from "../../ui/loading.tsx";
import { Menu } from "../../ui/menu.tsx";
import { statusText } from "../../ui/status.tsx";
import { useWho } from "../../who.ts";
import { FirstRun } from "../settings/first-run.tsx";
import { ColumnChooser } from "./chooser.tsx";
import { askedFields, columnLabel, defaultColumns, readColumns, writeColumns } from "./columns.ts";
import { FilterBox } from "./filter-box.tsx";
import { Overlay } from "./overlay.tsx";
import { useRows } from "./rows.ts";
import { countText, type Group, RunTable } from "./table.tsx";
import { useView } from "./view.ts";

const ViewsMenu = lazy(() => import("./views-menu.tsx").then((menu) => menu.ViewsMenu));

const statuses: Status[] = ["running", "pending", "success", "failed", "cancelled"];
const groupings = [
  "experiment_group",
  "user",
  "base_arch",
  "trainer",
  "lora_rank",
  "optimizer",
  "status",
];

/** Rows with a line before each that begins another group. */
function grouped(rows: Row[], groupOf: (row: Row) => unknown): (Row | Group)[] {
  let before: string | null = null;
  return rows.flatMap((row): (Row | Group)[] => {
    const group = setting(groupOf(row));
    if (group === before) return [row];
    before = group;
    return [{ group }, row];
  });
}

export function Runs() {
  const shown = useView();
  if (shown.ready) return <Shown {...shown} />;
  const { error } = shown;
  return (
    <div class="runs-note stack">
      <h1 class="visually-hidden">{t("Runs")}</h1>
      <Loaded query={{ data: undefined, error, refetch: shown.again }} lines={12}>
        {() => null}
      </Loaded>
      {error && (
        <Link class="button" href="/runs">
          {t("Show all runs")}
        </Link>
      )}
    </div>
  );
}

function Shown({ params, change, ...saved }: ReturnType<typeof useView>) {
  const [, go] = useLocation();
  const mayRegister = useWho().scopes.includes("tasks:write");
  const text = (name: string) => params.get(name) ?? "";
  const columnsText = params.get("cols") ?? defaultColumns;
  const columns = useMemo(() => readColumns(columnsText), [columnsText]);
  const group = text("group");
  const order = text("order");
  const fields = askedFields(columns, group).join(",");
  const asked = {
    filter: text("filter"),
    q: text("q"),
    status: text("status"),
    user: text("user"),
    order: group ? [group, order || "-id"].join(",") : order,
    deleted: text("deleted") === "true",
    fields,
  };
  const changes = useChanges();
  const {
    rows,
    fields: loadedFields,
    hasMore,
    loading,
    error,
    more,
    again,
  } = useRows(asked, changes.data);
  const at = useMemo(
    () => new Map(splitAtCommas(loadedFields).map((name, n) => [name, n])),
    [loadedFields],
  );
  const items = useMemo(
    () =>
      group
        ? grouped(rows, (row) =>
            group === "status" ? row.status : row.values[at.get(group) ?? -1],
          )
        : rows,
    [rows, group, at],
  );

  const selectedText = params.get("sel");
  const selected = useMemo(() => new Set(idsOf(selectedText)), [selectedText]);
  const select = useCallback(
    (id: number, on: boolean) => {
      const next = new Set(idsOf(new URLSearchParams(window.location.search).get("sel")));
      if (on) next.add(id);
      else next.delete(id);
      change({ sel: [...next].join(",") });
    },
    [change],
  );
  const open = useCallback((id: number) => go(`/runs/${id}`), [go]);
  // Runs that a shared link has selected may not be among the rows that are loaded.
  const names = new Map(rows.map(({ id, task_name }) => [id, task_name]));
  const drawn = [...selected].slice(0, MOST_RUNS);
  const styles = lineStyles(drawn);
  const unknown = drawn.filter((id) => !names.has(id));
  for (const run of useQuery(chosenQuery(unknown)).data ?? []) names.set(run.id, run.task_name);
  const { baseline: baselineId, chooseBaseline } = useSeveral();
  const found = useQuery(chosenQuery(baselineId === null ? [] : [baselineId]));
  const baseline = found.data?.find(({ id }) => id === baselineId);

  const seen = useMemo(() => {
    const list: Record<string, string[]> = {};
    for (const [name, n] of at)
      list[name] = [
        ...new Set(
          rows
            .slice(0, 500)
            .flatMap((row) => (typeof row.values[n] === "string" ? [String(row.values[n])] : [])),
        ),
      ].slice(0, 30);
    return list;
  }, [rows, at]);

  const refused = refusalOf(error);
  const narrowed = asked.filter || asked.status || asked.user || asked.deleted || asked.q;
  const setColumns = (next: typeof columns) => {
    const written = writeColumns(next);
    change({ cols: written === defaultColumns ? null : written || "status" });
  };

  return (
    <div class={`runs ${selected.size ? "with-overlay" : ""}`}>
      <header class="runs-bar">
        <h1 class="visually-hidden">{t("Runs")}</h1>
        <div class="row wrap filter-row">
          <FilterBox
            value={asked.filter}
            apply={(filter) => change({ filter }, { push: true })}
            refused={refused}
            seen={seen}
          />
          <Suspense
            fallback={
              <button type="button" class="button" disabled>
                <Icon name="star" />
                {t("Views")}
              </button>
            }
          >
            <ViewsMenu {...saved} />
          </Suspense>
          {mayRegister && (
            <Link class="button primary" href="/new">
              <Icon name="plus" />
              {t("New run")}
            </Link>
          )}
        </div>
        <div class="row wrap runs-tools">
          <div class="chips" role="group" aria-label={t("Status")}>
            <button
              type="button"
              aria-pressed={asked.status === ""}
              onClick={() => change({ status: null })}
            >
              {t("All")}
            </button>
            {statuses.map((status) => (
              <button
                key={status}
                type="button"
                aria-pressed={asked.status === status}
                onClick={() => change({ status: asked.status === status ? null : status })}
              >
                <span class={`dot ${status}`} />
                {statusText(status)}
              </button>
            ))}
          </div>
          <span class="faint count-text" aria-live="polite">
            {rows.length > 0 && countText(rows.length, hasMore)}
          </span>
          {baselineId !== null && (
            <button
              type="button"
              class="button small baseline-chip"
              title={t("Without a baseline")}
              onClick={() => chooseBaseline(null)}
            >
              <Icon name="flag" />
              <span class="clip">
                {t("Baseline: {name}", { name: baseline?.task_name ?? `#${baselineId}` })}
              </span>
              <Icon name="close" />
            </button>
          )}
          <span class="grow" />
          <form
            role="search"
            onSubmit={(event) => {
              event.preventDefault();
              const typed = new FormData(event.currentTarget).get("q");
              change({ q: typeof typed === "string" ? typed.trim() : null }, { push: true });
            }}
          >
            <input
              key={asked.q}
              class="field words"
              name="q"
              type="search"
              defaultValue={asked.q}
              placeholder={t("Words")}
              aria-label={t("Search names, groups, notes, tags and prompts")}
            />
          </form>
          <Menu
            label={
              <>
                <Icon name="group" />
                {group ? t("By {name}", { name: columnLabel(group) }) : t("Group")}
              </>
            }
          >
            <button type="button" class="item" onClick={() => change({ group: null })}>
              <Icon name={group ? "group" : "check"} />
              {t("Not grouped")}
            </button>
            {groupings.map((name) => (
              <button key={name} type="button" class="item" onClick={() => change({ group: name })}>
                <Icon name={group === name ? "check" : "group"} />
                {columnLabel(name)}
              </button>
            ))}
          </Menu>
          <ColumnChooser columns={columns} change={setColumns} />
        </div>
      </header>
      {error && !refused ? (
        <div class="runs-note">
          <Trouble error={error} again={again} />
        </div>
      ) : null}
      {rows.length === 0 && loading ? (
        <div class="runs-note">
          <Skeleton lines={12} />
        </div>
      ) : rows.length === 0 && !hasMore && !error ? (
        narrowed ? (
          <Empty icon="search" title={t("No run matches")}>
            <p>{t("No run matches this filter. Loosen it, or show all runs.")}</p>
            <button
              type="button"
              class="button"
              onClick={() =>
                change({ filter: null, status: null, user: null, deleted: null, q: null })
              }
            >
              {t("Show all runs")}
            </button>
          </Empty>
        ) : (
          <FirstRun />
        )
      ) : (
        <div class="runs-main">
          <RunTable
            items={items}
            columns={columns}
            at={at}
            order={order}
            setOrder={(next) => change({ order: next })}
            setColumns={setColumns}
            selected={selected}
            styles={styles}
            baseline={baseline}
            select={select}
            open={open}
            more={more}
            hasMore={hasMore}
            loading={loading}
          />
          {selected.size > 0 && (
            <Overlay
              ids={[...selected]}
              names={names}
              styles={styles}
              clear={() => change({ sel: null, hide: null })}
            />
          )}
        </div>
      )}
    </div>
  );
}
