import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import type { User } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { Ago, Dialog, Scroll, Skeleton, Trouble } from "../../ui/parts.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { roleTexts } from "./settings.tsx";

const roles = ["viewer", "member", "admin"] as const;
const roleOf = (text: string) => roles.find((role) => role === text) ?? "viewer";

export function Users() {
  const me = useWho();
  const client = useQueryClient();
  const [making, setMaking] = useState(false);
  const admin = me.scopes.includes("admin");
  const { data, error, refetch } = useQuery({
    queryKey: ["users"],
    queryFn: () => read(api.users.$get({ query: { limit: "200" } })),
  });
  const change = (user: User, json: { role?: User["role"]; active?: boolean }) =>
    attempt(async () => {
      const headers = { "If-Match": `"${user.version}"` };
      await read(api.users[":id"].$patch({ param: { id: String(user.id) }, json }, { headers }));
    }, t("Changed")).then(() => client.invalidateQueries({ queryKey: ["users"] }));
  return (
    <section class="panel">
      <header>
        <h2 class="grow">{t("Users")}</h2>
        {admin && (
          <button type="button" class="button primary small" onClick={() => setMaking(true)}>
            <Icon name="plus" />
            {t("New user")}
          </button>
        )}
      </header>
      {error ? (
        <div class="body">
          <Trouble error={error} again={() => void refetch()} />
        </div>
      ) : !data ? (
        <div class="body">
          <Skeleton />
        </div>
      ) : (
        <Scroll label={t("Table of users")}>
          <table class="plain">
            <thead>
              <tr>
                <th>{t("Name")}</th>
                <th>{t("Role")}</th>
                <th>{t("Since")}</th>
                <th>{t("Active")}</th>
              </tr>
            </thead>
            <tbody>
              {data.items.map((user) => (
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
            </tbody>
          </table>
        </Scroll>
      )}
      {making && <NewUser close={() => setMaking(false)} />}
    </section>
  );
}

function NewUser({ close }: { close: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [role, setRole] = useState<User["role"]>("member");
  const [key, setKey] = useState<string | null>(null);
  return (
    <Dialog title={t("New user")} close={close}>
      {key ? (
        <>
          <div class="note warn">
            <Icon name="warn" />
            <p>
              {t("The first key of {name}. It is shown this once: hand it over now.", { name })}
            </p>
          </div>
          <pre class="code inline">{key}</pre>
          <div class="actions">
            <button type="button" class="button primary" onClick={close}>
              {t("Done")}
            </button>
          </div>
        </>
      ) : (
        <form
          class="stack"
          onSubmit={(event) => {
            event.preventDefault();
            void attempt(async () => {
              const user = await read(api.users.$post({ json: { name: name.trim(), role } }));
              const json = { name: t("first key"), user_id: user.id };
              setKey((await read(api.keys.$post({ json }))).key);
              await client.invalidateQueries({ queryKey: ["users"] });
              await client.invalidateQueries({ queryKey: ["keys"] });
            });
          }}
        >
          <label class="labelled">
            {t("Name")}
            <input
              class="field"
              required
              maxLength={100}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </label>
          <label class="labelled">
            {t("Role")}
            <select
              class="field"
              value={role}
              onChange={(event) => setRole(roleOf(event.currentTarget.value))}
            >
              <option value="viewer">{t("Viewer: reads")}</option>
              <option value="member">{t("Member: reads all, writes own")}</option>
              <option value="admin">{t("Admin: everything")}</option>
            </select>
          </label>
          <div class="actions">
            <button type="button" class="button" onClick={close}>
              {t("Back")}
            </button>
            <button type="submit" class="button primary">
              {t("Make the user")}
            </button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
