import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, read } from "../../api.ts";
import { whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import type { Key } from "../../types.ts";
import { Copy, NewButton, RowButton } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { Ago } from "../../ui/figure.tsx";
import { Check, Choice, TextField } from "../../ui/form.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { toast } from "../../ui/toast.tsx";
import { useUserNames, useWho } from "../../who.ts";
import { runLines } from "./first-run.tsx";
import { keysQuery, keys as queryKeys } from "./queries.ts";
import { ShownKey } from "./shown-key.tsx";

/** The number of scopes without a box's: a key with all of them may do all that an admin may. */
const EVERYTHING = 12;

const hasEnded = (key: Key) =>
  key.revoked_at !== null || (key.expires_at !== null && Date.parse(key.expires_at) < Date.now());

export function Keys() {
  const me = useWho();
  const refresh = useRefresh();
  const names = useUserNames();
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Key | null>(null);
  const [ended, setEnded] = useState(false);
  const keys = useQuery({ ...keysQuery, enabled: me.scopes.includes("keys:read") });
  const admin = me.role === "admin";
  const writes = me.scopes.includes("keys:write");
  if (!me.scopes.includes("keys:read"))
    return (
      <Empty icon="key" title={t("Keys are not shown to this key")}>
        <p>{t("Seeing keys takes the scope keys:read. Sign in with another key.")}</p>
      </Empty>
    );
  return (
    <section class="panel">
      <header class="wrap">
        <h2>{t("Keys")}</h2>
        <span class="muted">
          <Check label={t("Show expired keys")} checked={ended} change={setEnded} />
        </span>
        <span class="grow" />
        {writes && <NewButton label={t("New key")} make={() => setMaking(true)} />}
      </header>
      <Loaded query={keys}>
        {({ items }) => {
          const shown = items.filter((key) => ended || !hasEnded(key));
          if (shown.length === 0)
            return (
              <Empty icon="key" title={t("No keys in use")}>
                <p>
                  {t(
                    "A key admits a program or a box. A new key is shown once; this page revokes keys.",
                  )}
                </p>
              </Empty>
            );
          return (
            <Table
              label={t("Table of keys")}
              heads={[
                t("Name"),
                ...(admin ? [t("User")] : []),
                ...([t("May"), t("Made by"), t("Created"), t("Last used")] as const).map(
                  (text) => [text, "wide-only"] as const,
                ),
                t("Expires"),
              ]}
              last={t("Revoke")}
            >
              {shown.map((key) => (
                <tr key={key.id}>
                  <td>
                    {key.name}
                    {key.id === me.key_id && <span class="badge own">{t("this session")}</span>}
                  </td>
                  {admin && <td>{names.get(key.user_id) ?? key.user_id}</td>}
                  <td class="wide-only">
                    <span class="scopes">
                      {key.scopes.length >= EVERYTHING ? t("everything") : key.scopes.join(", ")}
                    </span>
                  </td>
                  <td class="wide-only">
                    {key.parent_id === null ? (
                      <span class="faint">{t("the command line")}</span>
                    ) : (
                      `${key.made_by} · ${items.find(({ id }) => id === key.parent_id)?.name ?? `#${key.parent_id}`}`
                    )}
                  </td>
                  <td class="wide-only">
                    <Ago at={key.created_at} />
                  </td>
                  <td class="wide-only">
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
                      <span class="faint">{t("never expires")}</span>
                    )}
                  </td>
                  <td class="right">
                    {!hasEnded(key) && (writes || key.id === me.key_id) && (
                      <RowButton
                        text={t("Revoke")}
                        name={t("Revoke {name}", { name: key.name })}
                        danger
                        act={() => setRevoking(key)}
                      />
                    )}
                  </td>
                </tr>
              ))}
            </Table>
          );
        }}
      </Loaded>
      {making && <NewKey close={() => setMaking(false)} />}
      {revoking && (
        <Ask
          title={t("Revoke {name}?", { name: revoking.name })}
          submit={t("Revoke")}
          close={() => setRevoking(null)}
          send={async () => {
            await read(api.keys[":id"].$delete({ param: { id: String(revoking.id) } }));
            toast(t("Revoked"));
            setRevoking(null);
            await refresh(queryKeys.keys);
          }}
        >
          <p class="muted">
            {revoking.id === me.key_id
              ? t("You are signed in with this key: you will be signed out too.")
              : t(
                  "Programs that use the key are refused within 30 seconds. This cannot be undone.",
                )}
          </p>
          {revoking.children > 0 && (
            <p class="note">
              {t("Keys that this key made, which expire with it, and their boxes: {n}.", {
                n: whole(revoking.children),
              })}
            </p>
          )}
        </Ask>
      )}
    </section>
  );
}

type Kind = "box" | "own" | "read";

/** Makes a key and shows it, once, with the lines that use it. */
function NewKey({ close }: { close: () => void }) {
  const me = useWho();
  const refresh = useRefresh();
  const [name, setName] = useState("");
  const [kind, setKind] = useState<Kind>("box");
  // No key outlives the one that makes it.
  const ends = me.expires_at === null ? Number.POSITIVE_INFINITY : Date.parse(me.expires_at);
  const lasts = (days: string) => Date.now() + Number(days) * 86_400_000 < ends;
  const [days, setDays] = useState(lasts("7") ? "7" : "");
  const [key, setKey] = useState<string | null>(null);
  const scopesOf = {
    box: ["box" as const],
    own: undefined,
    read: me.scopes.filter((scope) => scope.endsWith(":read") && scope !== "keys:read"),
  };
  if (key)
    return (
      <ShownKey
        title={t("Your new key")}
        warning={t("The key is shown only once. Copy it now.")}
        value={key}
        close={close}
        copy={
          <>
            {kind === "box" && <Copy text={runLines(key)} label={t("Copy the lines")} />}
            <Copy text={key} label={t("Copy the key")} />
          </>
        }
      >
        {kind === "box" && (
          <>
            <h2>{t("Lines to paste on the box")}</h2>
            <pre class="code inline">{runLines(key)}</pre>
          </>
        )}
      </ShownKey>
    );
  return (
    <Ask
      title={t("New key")}
      submit={t("Make the key")}
      close={close}
      send={async () => {
        const json = { name: name.trim(), scopes: scopesOf[kind], days: Number(days) || null };
        const made = await read(api.keys.$post({ json }));
        setKey(made.key);
        await refresh(queryKeys.keys);
      }}
    >
      <TextField
        label={t("What is it for?")}
        value={name}
        change={setName}
        required
        maxLength={100}
        placeholder={t("runpod 4090, July")}
      />
      <Choice<Kind>
        label={t("What may it do?")}
        value={kind}
        choose={setKind}
        options={[
          ["box", t("A rented box: record runs, read nothing else")],
          ["own", t("All that I may do")],
          ["read", t("Only read")],
        ]}
      />
      <Choice
        label={t("How long?")}
        value={days}
        choose={setDays}
        options={[
          ...(
            [
              ["1", t("A day")],
              ["7", t("A week")],
              ["30", t("30 days")],
              ["365", t("A year")],
            ] as const
          ).filter(([days]) => lasts(days)),
          ["", me.expires_at ? t("As long as the key you are signed in with") : t("No expiry")],
        ]}
      />
    </Ask>
  );
}
