import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { keys as sharedKeys, useRefresh, usersQuery } from "../../queries.ts";
import type { User } from "../../types.ts";
import { NewButton } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Choice, TextField } from "../../ui/form.tsx";
import { Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { keys } from "./queries.ts";
import { roleTexts } from "./roles.ts";
import { ShownKey } from "./shown-key.tsx";

const roles = ["viewer", "member", "admin"] as const;
const roleOf = (text: string) => roles.find((role) => role === text) ?? "viewer";

export function Users() {
  const me = useWho();
  const refresh = useRefresh();
  const [making, setMaking] = useState(false);
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
              </tr>
            ))}
          </Table>
        )}
      </Loaded>
      {making && <NewUser close={() => setMaking(false)} />}
    </section>
  );
}

function NewUser({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState("");
  const [role, setRole] = useState<User["role"]>("member");
  const [key, setKey] = useState<string | null>(null);
  if (key)
    return (
      <ShownKey
        title={t("New user")}
        warning={t("The first key of {name} is shown only once: hand it over now.", { name })}
        value={key}
        close={close}
      />
    );
  return (
    <Ask
      title={t("New user")}
      submit={t("Make the user")}
      close={close}
      send={async () => {
        const user = await read(api.users.$post({ json: { name: name.trim(), role } }));
        const json = { name: t("first key"), user_id: user.id };
        setKey((await read(api.keys.$post({ json }))).key);
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
