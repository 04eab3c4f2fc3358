import { t } from "../../i18n.ts";
import { AddField } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Menu } from "../../ui/menu.tsx";
import { byLabel, type Column, columnLabel, knownColumns, readColumns } from "./columns.ts";

/** Chooses and orders the columns; any field of the filter language can be one. */
export function ColumnChooser(props: { columns: Column[]; change: (columns: Column[]) => void }) {
  const { columns, change } = props;
  const others = byLabel(
    knownColumns.filter((name) => !columns.some((column) => column.name === name)),
  );
  const move = (at: number, by: number) => {
    const next = [...columns];
    const [moved] = next.splice(at, 1);
    if (moved) next.splice(at + by, 0, moved);
    change(next);
  };
  const add = (name: string) => change([...columns, ...readColumns(name)]);
  return (
    <Menu
      keepOpen
      label={
        <>
          <Icon name="columns" />
          {t("Columns")}
        </>
      }
    >
      {columns.map((column, at) => (
        <div key={column.name} class="item chooser-item">
          <label class="check grow">
            <input
              type="checkbox"
              checked
              onChange={() => change(columns.filter(({ name }) => name !== column.name))}
            />
            <span class="clip">{column.label}</span>
          </label>
          <button
            type="button"
            class="button plain icon small"
            disabled={at === 0}
            aria-label={t("{name} further left", { name: column.label })}
            onClick={() => move(at, -1)}
          >
            <Icon name="up" />
          </button>
          <button
            type="button"
            class="button plain icon small"
            disabled={at === columns.length - 1}
            aria-label={t("{name} further right", { name: column.label })}
            onClick={() => move(at, 1)}
          >
            <Icon name="down" />
          </button>
        </div>
      ))}
      <hr />
      <AddField
        class="chooser-add"
        add={(name) => columns.some((column) => column.name === name) || add(name)}
      />
      <hr />
      {others.map((name) => (
        <label key={name} class="item check">
          <input type="checkbox" checked={false} onChange={() => add(name)} />
          {columnLabel(name)}
        </label>
      ))}
    </Menu>
  );
}
