import { useQuery } from "@tanstack/preact-query";
import { useState } from "preact/hooks";
import { api, expectSuccess, read } from "../../api.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import { NewButton, RowButton } from "../../ui/button.tsx";
import { Ask } from "../../ui/dialog.tsx";
import { deliveryStates, eventKinds } from "../../ui/events.ts";
import { Ago } from "../../ui/figure.tsx";
import { Choice, TextField } from "../../ui/form.tsx";
import { Empty, Loaded } from "../../ui/loading.tsx";
import { Table } from "../../ui/table.tsx";
import { attempt, toast } from "../../ui/toast.tsx";
import { useWho } from "../../who.ts";
import { deliveriesQuery, keys, webhooksQuery } from "./queries.ts";

const targets = ["generic", "slack", "discord", "feishu", "dingtalk", "wecom"] as const;
type Target = (typeof targets)[number];

/** Webhooks with a test of each, and the latest messages. */
export function Webhooks() {
  const me = useWho();
  const refresh = useRefresh();
  const [making, setMaking] = useState(false);
  const may = me.scopes.includes("tasks:write");
  const hooks = useQuery({ ...webhooksQuery, enabled: may });
  const sent = useQuery({ ...deliveriesQuery, enabled: may });
  if (!may) return <Empty icon="bell" title={t("Your key is read-only")} />;
  const test = (id: number) =>
    attempt(async () => {
      const { delivered, error } = await read(
        api.webhooks[":id"].test.$post({ param: { id: String(id) } }),
      );
      toast(
        delivered
          ? t("The receiver accepted the message")
          : t("Not delivered: {why}", { why: error ?? "" }),
        !delivered,
      );
    });
  const remove = (id: number) =>
    attempt(async () => {
      await expectSuccess(api.webhooks[":id"].$delete({ param: { id: String(id) } }));
      await refresh(keys.webhooks);
    });
  return (
    <>
      <section class="panel">
        <header>
          <h2 class="grow">{t("Webhooks")}</h2>
          <NewButton label={t("New webhook")} make={() => setMaking(true)} />
        </header>
        <Loaded query={hooks}>
          {({ items }) =>
            items.length === 0 ? (
              <Empty icon="bell" title={t("No webhooks yet")}>
                <p>
                  {t("A webhook tells you when a run fails, is lost, diverges or is the new best.")}
                </p>
              </Empty>
            ) : (
              <Table
                label={t("Webhooks")}
                heads={[
                  t("Name"),
                  t("For"),
                  [t("Address"), "wide-only"],
                  [t("Kinds"), "wide-only"],
                ]}
                last={t("Test")}
              >
                {items.map((hook) => (
                  <tr key={hook.id}>
                    <td>
                      <b>{hook.name}</b>
                    </td>
                    <td>{hook.target}</td>
                    <td class="mono muted wide-only">{hook.url}</td>
                    <td class="muted wide-only">
                      {hook.kinds?.map((kind) => t(eventKinds[kind].text)).join(", ") ??
                        t("everything")}
                    </td>
                    <td class="right">
                      <span class="row">
                        <RowButton
                          text={t("Test")}
                          name={t("Test {name}", { name: hook.name })}
                          act={() => test(hook.id)}
                        />
                        <RowButton
                          text={t("Delete")}
                          name={t("Delete {name}", { name: hook.name })}
                          danger
                          act={() => remove(hook.id)}
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
      {(sent.data?.items.length ?? 0) > 0 && (
        <section class="panel">
          <header>
            <h2>{t("Recent messages")}</h2>
          </header>
          <Table
            label={t("Recent messages")}
            heads={[
              t("Kind"),
              t("Name"),
              [t("Webhook"), "wide-only"],
              t("State"),
              [t("Why"), "wide-only"],
              [t("When"), "wide-only"],
            ]}
          >
            {sent.data?.items.map((one) => (
              <tr key={one.id}>
                <td>{t(eventKinds[one.kind].text)}</td>
                <td>{one.name}</td>
                <td class="wide-only">{one.webhook}</td>
                <td>
                  <span class={`badge ${deliveryStates[one.state].badge}`}>
                    {t(deliveryStates[one.state].text)}
                  </span>
                </td>
                <td class="muted wide-only">{one.error}</td>
                <td class="wide-only">
                  <Ago at={one.delivered_at ?? one.created_at} />
                </td>
              </tr>
            ))}
          </Table>
        </section>
      )}
      {making && <NewWebhook close={() => setMaking(false)} />}
    </>
  );
}

function NewWebhook({ close }: { close: () => void }) {
  const refresh = useRefresh();
  const [name, setName] = useState("");
  const [url, setUrl] = useState("");
  const [secret, setSecret] = useState("");
  const [target, setTarget] = useState<Target>("generic");
  return (
    <Ask
      title={t("New webhook")}
      submit={t("Make the webhook")}
      close={close}
      send={async () => {
        const json = {
          name: name.trim(),
          url: url.trim(),
          target,
          secret: secret.trim() || null,
        };
        await read(api.webhooks.$post({ json }));
        await refresh(keys.webhooks);
        close();
      }}
    >
      <TextField label={t("Name")} value={name} change={setName} required maxLength={100} />
      <Choice<Target>
        label={t("For")}
        value={target}
        choose={setTarget}
        options={targets.map((one) => [one, one] as const)}
      />
      <TextField
        label={t("Address")}
        value={url}
        change={setUrl}
        type="url"
        required
        maxLength={2000}
      />
      {(target === "feishu" || target === "dingtalk") && (
        <TextField
          label={t("Secret of its signature check (optional)")}
          value={secret}
          change={setSecret}
          autoComplete="off"
        />
      )}
    </Ask>
  );
}
