import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, done, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { Icon } from "../../ui/icon.tsx";
import { Ago, Dialog, Empty, Scroll, Skeleton, Trouble } from "../../ui/parts.tsx";
import { attempt, toast } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";

const targets = ["generic", "slack", "discord", "feishu", "dingtalk", "wecom"] as const;
type Target = (typeof targets)[number];

/** Where alerts go, with a test, and what was sent lately. */
export function Webhooks() {
  const me = useWho();
  const client = useQueryClient();
  const [making, setMaking] = useState(false);
  const may = me.scopes.includes("tasks:write");
  const hooks = useQuery({
    queryKey: ["webhooks"],
    enabled: may,
    queryFn: () => read(api.webhooks.$get({ query: { limit: "100" } })),
  });
  const sent = useQuery({
    queryKey: ["deliveries"],
    enabled: may,
    queryFn: () => read(api.deliveries.$get({ query: { limit: "30" } })),
  });
  if (!may) return <Empty icon="bell" title={t("Your key only reads")} />;
  const test = (id: number) =>
    attempt(async () => {
      const { delivered, error } = await read(
        api.webhooks[":id"].test.$post({ param: { id: String(id) } }),
      );
      toast(
        delivered ? t("The receiver took it") : t("Not delivered: {why}", { why: error ?? "" }),
        !delivered,
      );
    });
  return (
    <>
      <section class="panel">
        <header>
          <h2 class="grow">{t("Webhooks")}</h2>
          <button type="button" class="button primary small" onClick={() => setMaking(true)}>
            <Icon name="plus" />
            {t("New webhook")}
          </button>
        </header>
        {hooks.error ? (
          <Trouble error={hooks.error} again={() => void hooks.refetch()} />
        ) : !hooks.data ? (
          <div class="body">
            <Skeleton />
          </div>
        ) : hooks.data.items.length === 0 ? (
          <Empty icon="bell" title={t("No webhooks yet")}>
            <p>
              {t("Be told where you are when a run fails, is lost, diverges or is the new best.")}
            </p>
          </Empty>
        ) : (
          <Scroll label={t("Webhooks")}>
            <table class="plain">
              <tbody>
                {hooks.data.items.map((hook) => (
                  <tr key={hook.id}>
                    <td>
                      <b>{hook.name}</b>
                    </td>
                    <td>{hook.target}</td>
                    <td class="mono muted">{hook.url}</td>
                    <td class="muted">{hook.kinds?.join(", ") ?? t("everything")}</td>
                    <td class="right">
                      <span class="row">
                        <button type="button" class="button small" onClick={() => test(hook.id)}>
                          {t("Test")}
                        </button>
                        <button
                          type="button"
                          class="button small danger"
                          aria-label={t("Delete {name}", { name: hook.name })}
                          onClick={() =>
                            attempt(async () => {
                              await done(
                                api.webhooks[":id"].$delete({ param: { id: String(hook.id) } }),
                              );
                              await client.invalidateQueries({ queryKey: ["webhooks"] });
                            })
                          }
                        >
                          {t("Delete")}
                        </button>
                      </span>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        )}
      </section>
      {(sent.data?.items.length ?? 0) > 0 && (
        <section class="panel">
          <header>
            <h2>{t("Sent lately")}</h2>
          </header>
          <Scroll label={t("Sent lately")}>
            <table class="plain">
              <tbody>
                {sent.data?.items.map((one) => (
                  <tr key={one.id}>
                    <td>{one.kind}</td>
                    <td>{one.name}</td>
                    <td>{one.webhook}</td>
                    <td>
                      <span
                        class={`badge ${one.state === "delivered" ? "success" : one.state === "dead" ? "failed" : ""}`}
                      >
                        {one.state}
                      </span>
                    </td>
                    <td class="muted">{one.error}</td>
                    <td>
                      <Ago at={one.delivered_at ?? one.created_at} />
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
        </section>
      )}
      {making && <NewWebhook close={() => setMaking(false)} />}
    </>
  );
}

function NewWebhook({ close }: { close: () => void }) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [url, setUrl] = useState("");
  const [secret, setSecret] = useState("");
  const [target, setTarget] = useState<Target>("generic");
  return (
    <Dialog title={t("New webhook")} close={close}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void attempt(async () => {
            const json = {
              name: name.trim(),
              url: url.trim(),
              target,
              secret: secret.trim() || null,
            };
            await read(api.webhooks.$post({ json }));
            await client.invalidateQueries({ queryKey: ["webhooks"] });
            close();
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
          {t("For")}
          <select
            class="field"
            value={target}
            onChange={(event) =>
              setTarget(targets.find((one) => one === event.currentTarget.value) ?? "generic")
            }
          >
            {targets.map((one) => (
              <option key={one} value={one}>
                {one}
              </option>
            ))}
          </select>
        </label>
        <label class="labelled">
          {t("Address")}
          <input
            class="field"
            type="url"
            required
            maxLength={2000}
            value={url}
            onInput={(event) => setUrl(event.currentTarget.value)}
          />
        </label>
        {(target === "feishu" || target === "dingtalk") && (
          <label class="labelled">
            {t("Secret of its signature check (optional)")}
            <input
              class="field"
              autoComplete="off"
              value={secret}
              onInput={(event) => setSecret(event.currentTarget.value)}
            />
          </label>
        )}
        <div class="actions">
          <button type="button" class="button" onClick={close}>
            {t("Back")}
          </button>
          <button type="submit" class="button primary">
            {t("Make the webhook")}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
