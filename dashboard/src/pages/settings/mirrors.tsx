import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, expectSuccess, read } from "../../api.ts";
import { whole } from "../../format.ts";
import { type Text, t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import { NewButton, RowButton } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Check, TextField } from "../../ui/form.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { attempt, toast } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { keys, type Mirror, mirrorRunsQuery, mirrorsQuery } from "./queries.ts";

const states: Record<"waiting" | "open" | "done" | "refused", { text: Text; badge: string }> = {
  waiting: { text: "not begun", badge: "pending" },
  open: { text: "being written", badge: "running" },
  done: { text: "written", badge: "success" },
  refused: { text: "refused", badge: "failed" },
};

/** Mirrors with a test of each, and how far the runs of the chosen one are. */
export function Mirrors() {
  const me = useWho();
  const refresh = useRefresh();
  const [editing, setEditing] = useState<Mirror | "new" | null>(null);
  const [chosen, setChosen] = useState<number | null>(null);
  const may = me.scopes.includes("tasks:write");
  const mirrors = useQuery({ ...mirrorsQuery, enabled: may });
  if (!may) return <Empty icon="bell" title={t("Your key is read-only")} />;
  const test = (id: number) =>
    attempt(async () => {
      const { works, error } = await read(
        api.mirrors[":id"].test.$post({ param: { id: String(id) } }),
      );
      toast(
        works
          ? t("The server answers as MLflow does")
          : t("The server does not work: {why}", { why: error ?? "" }),
        !works,
      );
    });
  const remove = (id: number) =>
    attempt(async () => {
      await expectSuccess(api.mirrors[":id"].$delete({ param: { id: String(id) } }));
      await refresh(keys.mirrors);
    });
  const items = mirrors.data?.items ?? [];
  const shown = items.find(({ id }) => id === chosen) ?? items[0];
  return (
    <>
      <section class="panel">
        <header>
          <h2 class="grow">{t("Mirrors")}</h2>
          <NewButton label={t("New mirror")} make={() => setEditing("new")} />
        </header>
        <Loaded query={mirrors}>
          {() =>
            items.length === 0 ? (
              <Empty icon="bell" title={t("No mirrors yet")}>
                <p>
                  {t(
                    "A mirror writes your runs and their curves into an MLflow tracking server while they train.",
                  )}
                </p>
              </Empty>
            ) : (
              <Table
                label={t("Mirrors")}
                heads={[t("Name"), t("Address"), t("Groups"), t("State")]}
                last={t("Test")}
              >
                {items.map((one) => (
                  <tr key={one.id}>
                    <td>
                      <button
                        type="button"
                        class="button plain small"
                        aria-pressed={one.id === shown?.id}
                        onClick={() => setChosen(one.id)}
                      >
                        <b>{one.name}</b>
                      </button>
                    </td>
                    <td class="mono muted">{one.url}</td>
                    <td class="muted">{one.groups?.join(", ") ?? t("everything")}</td>
                    <td class="muted">{one.active ? (one.error ?? "") : t("switched off")}</td>
                    <td class="right">
                      <span class="row">
                        <RowButton
                          text={t("Test")}
                          name={t("Test {name}", { name: one.name })}
                          act={() => test(one.id)}
                        />
                        <RowButton
                          text={t("Change")}
                          name={t("Change {name}", { name: one.name })}
                          act={() => setEditing(one)}
                        />
                        <RowButton
                          text={t("Delete")}
                          name={t("Delete {name}", { name: one.name })}
                          danger
                          act={() => remove(one.id)}
                        />
                      </span>
                    </td>
                  </tr>
                ))}
              </Table>
            )
          }
        </Loaded>
      </section>
      {shown && <Log key={shown.id} mirror={shown} />}
      {editing && (
        <Edit mirror={editing === "new" ? null : editing} close={() => setEditing(null)} />
      )}
    </>
  );
}

/** What was written of each run, newest first. */
function Log({ mirror }: { mirror: Mirror }) {
  const refresh = useRefresh();
  const runs = useQuery(mirrorRunsQuery(mirror.id));
  const title = t("Runs of {name}", { name: mirror.name });
  const retry = (task: number) =>
    attempt(async () => {
      const param = { id: String(mirror.id), task: String(task) };
      await read(api.mirrors[":id"].runs[":task"].retry.$post({ param, query: {} }));
      await refresh(keys.mirrors);
    }, t("The next minute tries again"));
  return (
    <section class="panel">
      <header>
        <h2>{title}</h2>
      </header>
      <Loaded query={runs}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty icon="bell" title={t("Nothing is written yet")} />
          ) : (
            <Table
              label={title}
              heads={[
                t("Run"),
                t("State"),
                t("Points written"),
                t("Why"),
                t("When"),
                t("On the other server"),
              ]}
              last={t("Retry")}
            >
              {items.map((one) => (
                <tr key={one.task_id}>
                  <td>
                    <Link href={`/runs/${one.task_id}`}>{one.task_name}</Link>
                  </td>
                  <td>
                    <span class={`badge ${states[one.state].badge}`}>
                      {t(states[one.state].text)}
                    </span>
                  </td>
                  <td>
                    {t("{done} of {all}", {
                      done: whole(one.points),
                      all: whole(one.points_total),
                    })}
                  </td>
                  <td class="muted">{one.error}</td>
                  <td>{one.written_at && <Ago at={one.written_at} />}</td>
                  <td>
                    {one.run_url && (
                      <a href={one.run_url} target="_blank" rel="noreferrer">
                        {one.run_id?.slice(0, 8)}
                      </a>
                    )}
                  </td>
                  <td class="right">
                    {one.state === "refused" && (
                      <RowButton
                        text={t("Retry")}
                        name={t("Retry {name}", { name: one.task_name })}
                        act={() => retry(one.task_id)}
                      />
                    )}
                  </td>
                </tr>
              ))}
            </Table>
          )
        }
      </Loaded>
    </section>
  );
}

/** Makes a mirror, or changes one. A token that is there is never shown. */
function Edit({ mirror, close }: { mirror: Mirror | null; close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState(mirror?.name ?? "");
  const [url, setUrl] = useState(mirror?.url ?? "");
  const [token, setToken] = useState("");
  const [groups, setGroups] = useState(mirror?.groups?.join(", ") ?? "");
  const [past, setPast] = useState(false);
  const [active, setActive] = useState(mirror?.active ?? true);
  return (
    <Ask
      title={mirror ? t("Change {name}", { name: mirror.name }) : t("New mirror")}
      submit={mirror ? t("Save") : t("Make the mirror")}
      close={close}
      send={async () => {
        const list = groups
          .split(/[,，]/)
          .map((group) => group.trim())
          .filter(Boolean);
        const json = {
          name: name.trim(),
          url: url.trim(),
          groups: list.length > 0 ? list : null,
          active,
          ...(past && { past }),
          ...(token.trim() && { token: token.trim() }),
        };
        if (mirror === null) await read(api.mirrors.$post({ json }));
        else {
          const param = { id: String(mirror.id) };
          const headers = { "If-Match": `"${mirror.version}"` };
          await read(api.mirrors[":id"].$patch({ param, json }, { headers }));
        }
        await refresh(keys.mirrors);
        close();
      }}
    >
      <TextField label={t("Name")} value={name} change={setName} required maxLength={100} />
      <TextField
        label={t("Address of the tracking server")}
        value={url}
        change={setUrl}
        type="url"
        placeholder="https://mlflow.example.org"
        required
        maxLength={2000}
      />
      <TextField
        label={
          mirror?.has_token
            ? t("New token, or user:password (empty: as before)")
            : t("Token, or user:password (optional)")
        }
        value={token}
        change={setToken}
        type="password"
        autoComplete="off"
        maxLength={4000}
      />
      <TextField
        label={t("Groups, separated by commas (empty: all)")}
        value={groups}
        change={setGroups}
      />
      <Check label={t("Write runs of the past too")} checked={past} change={setPast} />
      {mirror && <Check label={t("Active")} checked={active} change={setActive} />}
    </Ask>
  );
}
