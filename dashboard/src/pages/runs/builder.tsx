import { useState } from "preact/hooks";
import { filterFields, runFieldList } from "../../../../src/shared/run-fields.ts";
import { type Text, t, translate } from "../../i18n.ts";
import { Dialog } from "../../ui/dialog.tsx";
import { Choice } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import {
  emptyRow,
  type FilterRow,
  type FilterRows,
  type Operator,
  operators,
  printRows,
  readRows,
  rowMistake,
} from "./rows-of-filter.ts";

const texts: Record<Operator, Text> = {
  "=": "is",
  "!=": "is not",
  ">": "is more than",
  ">=": "is at least",
  "<": "is less than",
  "<=": "is at most",
  contains: "contains",
  begins: "begins with",
  in: "is one of",
  null: "is empty",
  "not null": "is not empty",
};
const fields = [...filterFields.map(([name]) => name as string), "user"].sort();
const values: Record<string, readonly string[]> = Object.fromEntries(
  runFieldList.flatMap(([name, { values }]) => (values ? [[name, values]] : [])),
);
const MOST_ROWS = 20;

/** Builds a filter from rows of field, comparison and value, and shows what it is in the filter language. */
export function Builder(props: {
  filter: string;
  seen: Record<string, string[]>;
  apply: (filter: string) => void;
  close: () => void;
}) {
  const { seen, apply, close } = props;
  const [known] = useState(() => readRows(props.filter));
  const [state, setState] = useState<FilterRows>(known ?? { join: "and", rows: [emptyRow] });
  const { join, rows } = state;
  const built = printRows(state);
  // A filter that rows cannot say stays, and the rows narrow it.
  const filter = known
    ? built
    : [`(${props.filter.trim()})`, built && (join === "or" ? `(${built})` : built)]
        .filter(Boolean)
        .join(" and ");
  const mistakes = rows.map(rowMistake);
  const change = (n: number, next: Partial<FilterRow>) =>
    setState({ join, rows: rows.map((row, at) => (at === n ? { ...row, ...next } : row)) });
  return (
    <Dialog title={t("Build a filter")} close={close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          apply(filter);
        }}
      >
        {!known && (
          <p class="muted">{t("The present filter is kept. The rows narrow it further.")}</p>
        )}
        {rows.length > 1 && (
          <Choice
            label={t("Runs must match")}
            value={join}
            options={[
              ["and", t("all of the rows")],
              ["or", t("one of the rows")],
            ]}
            choose={(next) => setState({ join: next, rows })}
          />
        )}
        <datalist id="builder-fields">
          {fields.map((name) => (
            <option key={name} value={name} />
          ))}
        </datalist>
        {rows.map((row, n) => {
          const mistake = mistakes[n];
          const known = values[row.field] ?? seen[row.field] ?? [];
          const isValued = row.operator !== "null" && row.operator !== "not null";
          return (
            <div key={n} class="builder-row" role="group" aria-label={t("Row {n}", { n: n + 1 })}>
              <input
                class="field mono"
                list="builder-fields"
                aria-label={t("Field")}
                placeholder="lora_rank"
                maxLength={300}
                value={row.field}
                onInput={(event) => change(n, { field: event.currentTarget.value })}
              />
              <select
                class="field"
                aria-label={t("Comparison")}
                value={row.operator}
                onChange={(event) => {
                  const chosen = operators.find((one) => one === event.currentTarget.value);
                  if (chosen) change(n, { operator: chosen });
                }}
              >
                {operators.map((operator) => (
                  <option key={operator} value={operator}>
                    {t(texts[operator])}
                  </option>
                ))}
              </select>
              <input
                class="field"
                list={`builder-values-${n}`}
                aria-label={t("Value")}
                placeholder={row.operator === "in" ? t("values, with commas between") : ""}
                maxLength={1000}
                disabled={!isValued}
                value={isValued ? row.value : ""}
                onInput={(event) => change(n, { value: event.currentTarget.value })}
              />
              <datalist id={`builder-values-${n}`}>
                {known.map((value) => (
                  <option key={value} value={value} />
                ))}
              </datalist>
              <button
                type="button"
                class="button plain icon small"
                aria-label={t("Remove row {n}", { n: n + 1 })}
                disabled={rows.length === 1}
                onClick={() => setState({ join, rows: rows.filter((_, at) => at !== n) })}
              >
                <Icon name="close" />
              </button>
              {mistake && <p class="filter-message">{translate(mistake)}</p>}
            </div>
          );
        })}
        <div>
          <button
            type="button"
            class="button small"
            disabled={rows.length >= MOST_ROWS}
            onClick={() => setState({ join, rows: [...rows, emptyRow] })}
          >
            <Icon name="plus" />
            {t("Add a row")}
          </button>
        </div>
        <output class="builder-filter mono" aria-label={t("Filter")}>
          {filter || t("All runs")}
        </output>
        <div class="actions">
          <button type="button" class="button" onClick={close}>
            {t("Back")}
          </button>
          <button
            type="submit"
            class="button primary"
            disabled={mistakes.some((mistake) => mistake !== null)}
          >
            {t("Filter")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
