import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { keys as sharedKeys, useRefresh, usersQuery } from "../../queries.ts";
import type { User } from "../../types.ts";
import { Copy, NewButton, RowButton } from "../../ui/button.tsx";
import { Ask, Dialog } from "../../ui/dialog.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Choice, TextField } from "../../ui/form.tsx";
import { Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { keys } from "./queries.ts";
import { roleTexts } from "./roles.ts";

const roles = ["viewer", "member", "admin"] as const;
const roleOf = (text: string) => roles.find((role) => role === text) ?? "viewer";

export function Users() {
  const me = useWho();
  const refresh = useRefresh();
  const [making, setMaking] = useState(false);
  const [invited, setInvited] = useState<Invitation | null>(null);
  const admin = me.scopes.includes("admin");
  const users = useQuery(usersQuery);
  const change = (user: User, json: { role?: User["role"]; active?: boolean }) =>
    attempt(async () => {
      const headers = { "If-Match": `"${user.version}"` };
      await read(api.users[":id"].$patch({ param: { id: String(user.id) }, json }, { headers }));
    }, t("Changed")).then(() => refresh(sharedKeys.users));
  return (
    <section class="panel">
      <header>
        <h2 class="grow">{t("Users")}</h2>
        {admin && <NewButton label={t("New user")} make={() => setMaking(true)} />}
      </header>
      <Loaded query={users}>
        {({ items }) => (
          <Table
            label={t("Table of users")}
            heads={[t("Name"), t("Role"), t("Since"), t("Active")]}
            last={admin ? t("Invite") : undefined}
          >
            {items.map((user) => (
              <tr key={user.id} class={user.active ? "" : "faint"}>
                <td>{user.name}</td>
                <td>
                  {admin ? (
                    <select
                      class="field small"
                      aria-label={t("Role of {name}", { name: user.name })}
                      value={user.role}
                      onChange={(event) =>
                        void change(user, { role: roleOf(event.currentTarget.value) })
                      }
                    >
                      {roles.map((role) => (
                        <option key={role} value={role}>
                          {t(roleTexts[role])}
                        </option>
                      ))}
                    </select>
                  ) : (
                    t(roleTexts[user.role])
                  )}
                </td>
                <td>
                  <Ago at={user.created_at} />
                </td>
                <td>
                  {admin ? (
                    <label class="check">
                      <input
                        type="checkbox"
                        checked={user.active}
                        aria-label={t("{name} is active", { name: user.name })}
                        onChange={(event) =>
                          void change(user, { active: event.currentTarget.checked })
                        }
                      />
                    </label>
                  ) : user.active ? (
                    t("yes")
                  ) : (
                    t("no")
                  )}
                </td>
                {admin && (
                  <td class="right">
                    {user.active && (
                      <RowButton
                        text={t("Invite")}
                        name={t("Invite {name}", { name: user.name })}
                        act={() =>
                          void attempt(async () => {
                            setInvited(await invite(user));
                            await refresh(keys.keys);
                          })
                        }
                      />
                    )}
                  </td>
                )}
              </tr>
            ))}
          </Table>
        )}
      </Loaded>
      {making && <NewUser close={() => setMaking(false)} />}
      {invited && <Invited {...invited} close={() => setInvited(null)} />}
    </section>
  );
}

/** Minutes that an invitation is good for: the most that the service allows. */
const WEEK = 7 * 24 * 60;

type Invitation = { name: string; key: string; url: string };

/** Makes a key for a user, and a link that signs a browser in with it, once. */
async function invite(user: Pick<User, "id" | "name">): Promise<Invitation> {
  const json = { name: t("invitation"), user_id: user.id };
  const { id, key } = await read(api.keys.$post({ json }));
  const link = { param: { id: String(id) }, json: { minutes: WEEK } };
  const { url } = await read(api.keys[":id"].link.$post(link));
  return { name: user.name, key, url };
}

/** An invitation, shown this once. */
const Invited = ({ name, key: value, url, close }: Invitation & { close: () => void }) => (
  <Dialog title={t("Invite {name}", { name })} close={close}>
    <p>{t("The link signs {name} in once, within a week. Send it to nobody else.", { name })}</p>
    <pre class="code inline" data-testid="new-link">
      {url}
    </pre>
    <details>
      <summary>{t("The key behind it, for programs")}</summary>
      <p class="muted">{t("The key is shown only once. Copy it now.")}</p>
      <pre class="code inline" data-testid="new-key">
        {value}
      </pre>
      <Copy text={value} label={t("Copy the key")} />
    </details>
    <div class="actions">
      <Copy text={url} label={t("Copy the link")} />
      <button type="button" class="button primary small" onClick={close}>
        {t("Done")}
      </button>
    </div>
  </Dialog>
);

function NewUser({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState("");
  const [role, setRole] = useState<User["role"]>("member");
  const [made, setMade] = useState<Invitation | null>(null);
  if (made) return <Invited {...made} close={close} />;
  return (
    <Ask
      title={t("New user")}
      submit={t("Make the user")}
      close={close}
      send={async () => {
        const user = await read(api.users.$post({ json: { name: name.trim(), role } }));
        setMade(await invite(user));
        await refresh(sharedKeys.users, keys.keys);
      }}
    >
      <TextField label={t("Name")} value={name} change={setName} required maxLength={100} />
      <Choice<User["role"]>
        label={t("Role")}
        value={role}
        choose={setRole}
        options={[
          ["viewer", t("Viewer: reads")],
          ["member", t("Member: reads all, writes own")],
          ["admin", t("Admin: everything")],
        ]}
      />
    </Ask>
  );
}
