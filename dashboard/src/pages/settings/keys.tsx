import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, done, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import type { Key } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { Ago, Copy, Dialog, Empty, Scroll, Skeleton, Trouble } from "../../ui/parts.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useUserNames, useWho } from "../../who.ts";
import { runLines } from "./first-run.tsx";

export function Keys() {
  const me = useWho();
  const client = useQueryClient();
  const names = useUserNames();
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Key | null>(null);
  const [ended, setEnded] = useState(false);
  const { data, error, refetch } = useQuery({
    queryKey: ["keys"],
    queryFn: () => read(api.keys.$get({ query: { limit: "200" } })),
  });
  const over = (key: Key) =>
    key.revoked_at !== null || (key.expires_at !== null && Date.parse(key.expires_at) < Date.now());
  const shown = data?.items.filter((key) => ended || !over(key)) ?? [];
  return (
    <section class="panel">
      <header class="wrap">
        <h2>{t("Keys")}</h2>
        <label class="check muted">
          <input
            type="checkbox"
            checked={ended}
            onChange={(event) => setEnded(event.currentTarget.checked)}
          />
          {t("also ended ones")}
        </label>
        <span class="grow" />
        <button type="button" class="button primary small" onClick={() => setMaking(true)}>
          <Icon name="plus" />
          {t("New key")}
        </button>
      </header>
      {error ? (
        <div class="body">
          <Trouble error={error} again={() => void refetch()} />
        </div>
      ) : !data ? (
        <div class="body">
          <Skeleton />
        </div>
      ) : shown.length === 0 ? (
        <Empty icon="key" title={t("No keys in use")}>
          <p>{t("A key lets a program or a box in. It is shown once, and revoked here.")}</p>
        </Empty>
      ) : (
        <Scroll label={t("Table of keys")}>
          <table class="plain">
            <thead>
              <tr>
                <th>{t("Name")}</th>
                {me.role === "admin" && <th>{t("User")}</th>}
                <th>{t("May")}</th>
                <th>{t("Created")}</th>
                <th>{t("Last used")}</th>
                <th>{t("Ends")}</th>
                <th>
                  <span class="visually-hidden">{t("Revoke")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {shown.map((key) => (
                <tr key={key.id}>
                  <td>
                    {key.name}
                    {key.id === me.key_id && <span class="badge own">{t("this session")}</span>}
                  </td>
                  {me.role === "admin" && <td>{names.get(key.user_id) ?? key.user_id}</td>}
                  <td>
                    <span class="scopes">
                      {key.scopes.length >= 9 ? t("everything") : key.scopes.join(", ")}
                    </span>
                  </td>
                  <td>
                    <Ago at={key.created_at} />
                  </td>
                  <td>
                    {key.last_used_at ? (
                      <Ago at={key.last_used_at} />
                    ) : (
                      <span class="faint">{t("never")}</span>
                    )}
                  </td>
                  <td>
                    {key.revoked_at ? (
                      <span class="badge failed">{t("revoked")}</span>
                    ) : key.expires_at ? (
                      <Ago at={key.expires_at} />
                    ) : (
                      <span class="faint">{t("does not end")}</span>
                    )}
                  </td>
                  <td class="right">
                    {!over(key) && (
                      <button
                        type="button"
                        class="button small danger"
                        aria-label={t("Revoke {name}", { name: key.name })}
                        onClick={() => setRevoking(key)}
                      >
                        {t("Revoke")}
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {making && <NewKey close={() => setMaking(false)} />}
      {revoking && (
        <Dialog
          title={t("Revoke {name}?", { name: revoking.name })}
          close={() => setRevoking(null)}
        >
          <p class="muted">
            {revoking.id === me.key_id
              ? t("You are signed in with this key: you will be signed out too.")
              : t("What uses it is refused within 30 seconds. This cannot be taken back.")}
          </p>
          <div class="actions">
            <button type="button" class="button" onClick={() => setRevoking(null)}>
              {t("Back")}
            </button>
            <button
              type="button"
              class="button primary"
              onClick={() =>
                attempt(async () => {
                  await done(api.keys[":id"].$delete({ param: { id: String(revoking.id) } }));
                  setRevoking(null);
                  await client.invalidateQueries({ queryKey: ["keys"] });
                }, t("Revoked"))
              }
            >
              {t("Revoke")}
            </button>
          </div>
        </Dialog>
      )}
    </section>
  );
}

/** Makes a key and shows it, once, with the lines that use it. */
function NewKey({ close }: { close: () => void }) {
  const me = useWho();
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [kind, setKind] = useState<"box" | "own" | "read">("box");
  const [days, setDays] = useState("7");
  const [key, setKey] = useState<string | null>(null);
  const scopesOf = {
    box: ["box" as const],
    own: undefined,
    read: me.scopes.filter((scope) => scope.endsWith(":read")),
  };
  return (
    <Dialog title={key ? t("Your new key") : t("New key")} close={close}>
      {key ? (
        <>
          <div class="note warn">
            <Icon name="warn" />
            <p>{t("It is shown this once. Copy it now.")}</p>
          </div>
          <pre class="code inline" data-testid="new-key">
            {key}
          </pre>
          {kind === "box" && (
            <>
              <h2>{t("To paste on the box")}</h2>
              <pre class="code inline">{runLines(key)}</pre>
            </>
          )}
          <div class="actions">
            {kind === "box" && <Copy text={runLines(key)} label={t("Copy the lines")} />}
            <Copy text={key} label={t("Copy the key")} />
            <button type="button" class="button primary small" onClick={close}>
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
              const json = {
                name: name.trim(),
                scopes: scopesOf[kind],
                days: Number(days) || null,
              };
              const made = await read(api.keys.$post({ json }));
              setKey(made.key);
              await client.invalidateQueries({ queryKey: ["keys"] });
            });
          }}
        >
          <label class="labelled">
            {t("What is it for?")}
            <input
              class="field"
              required
              maxLength={100}
              placeholder={t("runpod 4090, July")}
              value={name}
              onInput={(event) => setName(event.currentTarget.value)}
            />
          </label>
          <label class="labelled">
            {t("What may it do?")}
            <select
              class="field"
              value={kind}
              onChange={(event) => {
                const next = event.currentTarget.value;
                setKind(next === "own" ? "own" : next === "read" ? "read" : "box");
              }}
            >
              <option value="box">{t("A rented box: record runs, read nothing else")}</option>
              <option value="own">{t("All that I may do")}</option>
              <option value="read">{t("Only read")}</option>
            </select>
          </label>
          <label class="labelled">
            {t("How long?")}
            <select
              class="field"
              value={days}
              onChange={(event) => setDays(event.currentTarget.value)}
            >
              <option value="1">{t("A day")}</option>
              <option value="7">{t("A week")}</option>
              <option value="30">{t("30 days")}</option>
              <option value="365">{t("A year")}</option>
              <option value="">{t("Without end")}</option>
            </select>
          </label>
          <div class="actions">
            <button type="button" class="button" onClick={close}>
              {t("Back")}
            </button>
            <button type="submit" class="button primary">
              {t("Make the key")}
            </button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
