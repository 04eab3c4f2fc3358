import { useInfiniteQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { viewQuery } from "../../../../src/shared/view-query.ts";
import { api, expectSuccess, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import type { View } from "../../types.ts";
import { Ask } from "../../ui/dialog.tsx";
import { Check, TextField } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Loaded } from "../../ui/loading.tsx";
import { Menu } from "../../ui/menu.tsx";
import { attempt, toast } from "../../ui/toast.tsx";
import { mayWrite, useWho } from "../../who.ts";
import { keys, viewsQuery } from "./queries.ts";
import { type useView, withoutView } from "./view.ts";

const pathOf = (view: View) => `/runs?view=${view.id}`;

/** The saved views: opens one, saves the table as one, changes and shares it. */
export function ViewsMenu(props: Omit<ReturnType<typeof useView>, "params" | "change">) {
  const { view, query, changed, edit } = props;
  const me = useWho();
  const client = useQueryClient();
  const refresh = useRefresh();
  const [asking, setAsking] = useState<"save" | "edit" | "delete" | null>(null);
  const mine = view !== undefined && mayWrite(me, view.user_id);
  const close = () => setAsking(null);
  /** Takes over the view as the server saved it, and opens it. */
  const keep = async (saved: View) => {
    client.setQueryData(keys.oneView(String(saved.id)), saved);
    await refresh(keys.views);
    edit((address) => {
      const short = viewQuery(address) === saved.query ? withoutView(address) : address;
      short.set("view", String(saved.id));
      return short;
    });
    close();
  };
  const patch = async (view: View, json: { name?: string; shared?: boolean; query?: string }) => {
    const headers = { "If-Match": `"${view.version}"` };
    const param = { id: String(view.id) };
    try {
      await keep(await read(api.views[":id"].$patch({ param, json }, { headers })));
    } catch (error) {
      await refresh(keys.view);
      throw error;
    }
  };
  return (
    <>
      <Menu
        class="button"
        label={
          <>
            <Icon name="star" />
            {view ? (
              <>
                <span class="visually-hidden">{t("View")}</span>
                <span class="clip view-name">{view.name}</span>
                {changed && <span class="badge">{t("changed")}</span>}
              </>
            ) : (
              t("Views")
            )}
          </>
        }
      >
        <List open={view} />
        <hr />
        {view && changed && (
          <Link class="item" href={pathOf(view)} replace>
            <Icon name="again" />
            {t("Revert to the saved view")}
          </Link>
        )}
        {mine && changed && (
          <button
            type="button"
            class="item"
            onClick={() => attempt(() => patch(view, { query }), t("The view is saved"))}
          >
            <Icon name="check" />
            {t("Save the changes")}
          </button>
        )}
        {me.scopes.includes("tasks:write") && (
          <button type="button" class="item" onClick={() => setAsking("save")}>
            <Icon name="plus" />
            {t("Save as a new view…")}
          </button>
        )}
        {view && (
          <button
            type="button"
            class="item"
            onClick={() =>
              attempt(
                () => navigator.clipboard.writeText(location.origin + pathOf(view)),
                view.shared
                  ? t("The link is copied")
                  : t("The link is copied. Only you can open it until you share the view."),
              )
            }
          >
            <Icon name="link" />
            {t("Copy the link")}
          </button>
        )}
        {mine && (
          <>
            <button type="button" class="item" onClick={() => setAsking("edit")}>
              <Icon name="edit" />
              {t("Rename or share…")}
            </button>
            <button type="button" class="item" onClick={() => setAsking("delete")}>
              <Icon name="trash" />
              {t("Delete the view…")}
            </button>
          </>
        )}
      </Menu>
      {asking === "save" && (
        <Naming
          title={t("Save this table as a view")}
          name=""
          shared={false}
          close={close}
          send={async (fields) => {
            await keep(await read(api.views.$post({ json: { ...fields, query } })));
            toast(t("The view is saved"));
          }}
        />
      )}
      {asking === "edit" && view && (
        <Naming
          title={t("Rename or share {name}", { name: view.name })}
          name={view.name}
          shared={view.shared}
          close={close}
          send={(fields) => patch(view, fields)}
        />
      )}
      {asking === "delete" && view && (
        <Ask
          title={t("Delete the view {name}?", { name: view.name })}
          submit={t("Delete")}
          close={close}
          send={async () => {
            await expectSuccess(api.views[":id"].$delete({ param: { id: String(view.id) } }));
            await refresh(keys.views);
            edit((address) => {
              const left = withoutView(address);
              for (const [name, value] of new URLSearchParams(query)) left.set(name, value);
              left.delete("view");
              return left;
            });
            close();
          }}
        >
          <p class="muted">{t("Links to the view stop working. The runs stay.")}</p>
        </Ask>
      )}
    </>
  );
}

/** The user's own views, then those that others share. */
function List({ open }: { open: View | undefined }) {
  const me = useWho();
  const query = useInfiniteQuery(viewsQuery);
  return (
    <Loaded query={query} lines={3}>
      {(items) => {
        const views = items.toSorted((a, b) => a.name.localeCompare(b.name));
        const own = views.filter(({ user_id }) => user_id === me.user_id);
        const others = views.filter(({ user_id }) => user_id !== me.user_id);
        if (views.length === 0)
          return <p class="faint menu-note">{t("No views yet. Save this table as one.")}</p>;
        return (
          <>
            {[...own, ...others].map((view) => (
              <Link
                key={view.id}
                class="item"
                href={pathOf(view)}
                aria-current={view.id === open?.id ? "page" : undefined}
              >
                <Icon name={view.id === open?.id ? "check" : "star"} />
                <span class="clip grow">{view.name}</span>
                {view.user_id !== me.user_id ? (
                  <span class="faint clip">{view.user}</span>
                ) : (
                  view.shared && <span class="faint">{t("shared")}</span>
                )}
              </Link>
            ))}
            {query.hasNextPage && (
              <button
                type="button"
                class="item"
                onClick={(event) => {
                  // The menu stays open for what comes.
                  event.stopPropagation();
                  void query.fetchNextPage();
                }}
              >
                <Icon name="more" />
                {t("More views")}
              </button>
            )}
          </>
        );
      }}
    </Loaded>
  );
}

/** Asks for a view's name, and whether everyone may open it. */
function Naming(props: {
  title: string;
  name: string;
  shared: boolean;
  close: () => void;
  send: (fields: { name: string; shared: boolean }) => Promise<unknown>;
}) {
  const [name, setName] = useState(props.name);
  const [shared, setShared] = useState(props.shared);
  return (
    <Ask
      title={props.title}
      submit={t("Save")}
      ready={name.trim() !== ""}
      close={props.close}
      send={() => props.send({ name: name.trim(), shared })}
    >
      <TextField label={t("Name")} value={name} change={setName} required maxLength={100} />
      <Check
        label={t("Everyone may open the view, by its link or from their menu")}
        checked={shared}
        change={setShared}
      />
    </Ask>
  );
}
