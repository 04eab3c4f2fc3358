import { useQuery } from "@tanstack/preact-query";
import { lazy, Suspense } from "preact/compat";
import { useCallback, useMemo, useState } from "preact/hooks";
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
import type { Row } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { Empty, Loaded, Skeleton, Trouble } from "../../ui/loading.tsx";
import { useNarrow } from "../../ui/media.ts";
import { Menu } from "../../ui/menu.tsx";
import { useWho } from "../../who.ts";
import { FirstRun } from "../settings/first-run.tsx";
import { BulkBar } from "./bulk-bar.tsx";
import { Chips, countOf, groupsOf } from "./chips.tsx";
import { ColumnChooser } from "./chooser.tsx";
import {
  askedFields,
  columnLabel,
  defaultColumns,
  readColumns,
  readNameWidth,
  writeColumns,
} from "./columns.ts";
import { findMistake } from "./complete.ts";
import { FilterBox } from "./filter-box.tsx";
import { readSearches, useKept, withSearch } from "./kept.ts";
import { Overlay } from "./overlay.tsx";
import { countsQuery, keyOf } from "./queries.ts";
import { useRows } from "./rows.ts";
import { findSearchMistake, joinSearch, splitSearch, withoutTerm, withTerm } from "./search.ts";
import { countText, type Group, RunTable } from "./table.tsx";
import { useView } from "./view.ts";

const ViewsMenu = lazy(() => import("./views-menu.tsx").then((menu) => menu.ViewsMenu));
const Builder = lazy(() => import("./builder.tsx").then((dialog) => dialog.Builder));

/** Runs that one selection names: their ids are in the address. */
const MOST_SELECTED = 1000;
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
  // A saved view shows its own columns; else a person finds theirs as they left them.
  const [keptColumns, keepColumns] = useKept("columns");
  const usual = (saved.view ? null : keptColumns) ?? defaultColumns;
  const columnsText = params.get("cols") ?? usual;
  const columns = useMemo(() => readColumns(columnsText), [columnsText]);
  const nameWidth = useMemo(() => readNameWidth(columnsText), [columnsText]);
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
    (ids: number[], on: boolean) => {
      const before = idsOf(new URLSearchParams(window.location.search).get("sel"));
      const next = new Set(before);
      for (const id of ids)
        if (!on) next.delete(id);
        else if (next.size < MOST_SELECTED) next.add(id);
      setAllOf(null);
      // The first one opens the panel beside the table, which Back closes; more are no step of their own.
      change({ sel: [...next].join(",") }, { push: before.length === 0 });
    },
    [change],
  );
  /** The question all of whose runs are selected, whether loaded or not. */
  const [allOf, setAllOf] = useState<string | null>(null);
  const clear = () => {
    setAllOf(null);
    change({ sel: null, hide: null });
  };
  const choice = keyOf({ ...asked, order: "", fields: "" });
  const isAll = allOf === choice && selected.size > 0;
  const [keptCurves, keepCurves] = useKept("curves");
  const curves = keptCurves !== "off";
  const sound = findMistake(asked.filter) === null;
  const counts = useQuery(countsQuery(asked, sound)).data;
  const groups = useMemo(() => (counts ? groupsOf(counts, "") : []), [counts]);
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

  const searchText = joinSearch(asked.q, asked.filter);
  const refused = refusalOf(error, -splitSearch(searchText).ahead);
  const [keptSearches, keepSearches] = useKept("searches");
  const searches = useMemo(() => readSearches(keptSearches), [keptSearches]);
  const search = (text: string) => {
    const { q, filter } = splitSearch(text);
    change({ q, filter }, { push: true });
    keepSearches(JSON.stringify(withSearch(searches, text)));
  };
  const narrowBy = (condition: string) =>
    change({ filter: withTerm(asked.filter, condition) }, { push: true });
  const [building, setBuilding] = useState(false);
  const isPhone = useNarrow();
  const narrowed = asked.filter || asked.status || asked.user || asked.deleted || asked.q;
  const setColumns = (next: typeof columns, width = nameWidth) => {
    const written = writeColumns(next, width) || "status";
    // Who changes the columns of somebody's link keeps their own.
    const isOwn = !saved.view && columnsText === usual;
    if (isOwn) keepColumns(written === defaultColumns ? null : written);
    change({ cols: written === (isOwn ? defaultColumns : usual) ? null : written });
  };

  return (
    <div class={`runs ${selected.size && curves ? "with-overlay" : ""}`}>
      <header class="runs-bar">
        <h1 class="visually-hidden">{t("Runs")}</h1>
        <div class="row wrap filter-row">
          <FilterBox
            value={searchText}
            apply={search}
            refused={refused}
            seen={seen}
            find={findSearchMistake}
            label={t("Search or filter")}
            placeholder={t("Words, or a filter such as lora_rank = 64 and final_loss < 0.3")}
            recent={searches}
          />
          <button
            type="button"
            class="button"
            aria-label={t("Build a filter")}
            onClick={() => setBuilding(true)}
          >
            <Icon name="plus" />
            <span class="build-text">{t("Filter")}</span>
          </button>
          {building && (
            <Suspense fallback={null}>
              <Builder
                filter={sound ? asked.filter : ""}
                seen={seen}
                apply={(filter) => {
                  setBuilding(false);
                  search(joinSearch(asked.q, filter));
                }}
                close={() => setBuilding(false)}
              />
            </Suspense>
          )}
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
          <Chips
            asked={asked}
            counts={counts}
            chooseStatus={(status) => change({ status }, { push: true })}
            toggleGroup={(term, on) =>
              change({ filter: (on ? withTerm : withoutTerm)(asked.filter, term) }, { push: true })
            }
            showTrash={(show) =>
              change({ deleted: show ? "true" : null, sel: null }, { push: true })
            }
          />
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
          <Menu
            label={
              <>
                <Icon name="group" />
                {group ? t("By {name}", { name: columnLabel(group) }) : t("Group")}
              </>
            }
          >
            <button
              type="button"
              class="item"
              onClick={() => change({ group: null }, { push: true })}
            >
              <Icon name={group ? "group" : "check"} />
              {t("Not grouped")}
            </button>
            {groupings.map((name) => (
              <button
                key={name}
                type="button"
                class="item"
                onClick={() => change({ group: name }, { push: true })}
              >
                <Icon name={group === name ? "check" : "group"} />
                {columnLabel(name)}
              </button>
            ))}
          </Menu>
          {!isPhone && <ColumnChooser columns={columns} change={(next) => setColumns(next)} />}
        </div>
        {selected.size > 0 && (
          <BulkBar
            asked={asked}
            ids={[...selected]}
            total={counts?.complete ? countOf(counts, asked.status) : null}
            all={isAll}
            chooseAll={(all) => setAllOf(all ? choice : null)}
            groups={groups.map(({ group }) => group)}
            clear={clear}
            curves={curves}
            showCurves={(show) => keepCurves(show ? null : "off")}
          />
        )}
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
                change(
                  { filter: null, status: null, user: null, deleted: null, q: null },
                  { push: true },
                )
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
            nameWidth={nameWidth}
            at={at}
            order={order}
            setOrder={(next) => change({ order: next }, { push: true })}
            setColumns={setColumns}
            selected={selected}
            styles={styles}
            baseline={baseline}
            select={select}
            narrow={narrowBy}
            open={open}
            more={more}
            hasMore={hasMore}
            loading={loading}
          />
          {selected.size > 0 && curves && (
            <Overlay ids={[...selected]} names={names} styles={styles} clear={clear} />
          )}
        </div>
      )}
    </div>
  );
}
