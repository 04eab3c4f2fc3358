import { useInfiniteQuery } from "@tanstack/preact-query";
import type { InferResponseType } from "hono/client";
import { Link } from "wouter-preact";
import { api, read } from "../../api.ts";
import { whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import { useRefresh } from "../../queries.ts";
import { useAddress } from "../../state.ts";
import { deliveryStates, eventHref, eventKinds, particulars } from "../../ui/events.ts";
import { Ago } from "../../ui/figure.tsx";
import { Segments } from "../../ui/form.tsx";
import { Empty, Loaded, ShowMore } from "../../ui/loading.tsx";
import { attempt } from "../../ui/toast.tsx";
import { useUserNames } from "../../who.ts";
import { eventsQuery, keys } from "./queries.ts";

type Event = InferResponseType<typeof api.events.$get, 200>["items"][number];

/** Events that raise alerts, their messages, and whether these were delivered. */
export function Alerts() {
  const { params, change } = useAddress();
  const undelivered = params.get("show") === "undelivered";
  const refresh = useRefresh();
  const names = useUserNames();
  const events = useInfiniteQuery(eventsQuery(undelivered));
  const redeliver = (id: number) =>
    attempt(async () => {
      await read(api.deliveries[":id"].redeliver.$post({ param: { id: String(id) } }));
      await refresh(keys.events);
    }, t("The message was sent again"));
  return (
    <section class="panel" aria-label={t("Alerts")}>
      <header class="wrap">
        <h2 class="grow">{t("Events and their messages")}</h2>
        <Segments
          label={t("Which")}
          value={undelivered ? "undelivered" : "all"}
          choose={(next) => change({ show: next === "undelivered" ? next : null })}
          options={[
            ["all", t("All")],
            ["undelivered", t("Not delivered")],
          ]}
        />
        <Link class="button small" href="/settings/webhooks">
          {t("Webhooks")}
        </Link>
      </header>
      <Loaded query={events} lines={8}>
        {(items) =>
          items.length === 0 ? (
            <Empty
              icon={undelivered ? "check" : "bell"}
              title={undelivered ? t("All messages were delivered") : t("No events yet")}
            >
              <p>
                {undelivered
                  ? t("Messages that a receiver did not accept appear here and can be sent again.")
                  : t(
                      "Failed, lost and finished runs, new bests and idle boxes appear here. A webhook sends them to you.",
                    )}
              </p>
            </Empty>
          ) : (
            <ul class="events">
              {items.map((event) => (
                <li key={event.id}>
                  <span class="row wrap">
                    <span class={`badge ${eventKinds[event.kind].badge}`}>
                      {t(eventKinds[event.kind].text)}
                    </span>
                    <Subject event={event} />
                    {event.experiment_group && <span class="label">{event.experiment_group}</span>}
                    <span class="muted">
                      {event.user_id === null ? "" : (names.get(event.user_id) ?? "")}
                    </span>
                    <span class="grow" />
                    <span class="faint">
                      <Ago at={event.created_at} />
                    </span>
                  </span>
                  {event.detail && (
                    <span class="muted clip detail">{particulars(event.detail)}</span>
                  )}
                  {event.deliveries.length > 0 && (
                    <ul class="deliveries">
                      {event.deliveries.map((one) => (
                        <li key={one.id} class="row wrap">
                          <span class={`badge ${deliveryStates[one.state].badge}`}>
                            {t(deliveryStates[one.state].text)}
                          </span>
                          <span>{one.webhook}</span>
                          {one.bundle_id !== null && (
                            <span class="faint">{t("with others, in one message")}</span>
                          )}
                          {one.error && one.state !== "delivered" && (
                            <span class="bad-text">{one.error}</span>
                          )}
                          <span class="faint">
                            {one.state === "delivered" ? (
                              <Ago at={one.delivered_at} />
                            ) : (
                              t("{n} tries", { n: whole(one.attempts) })
                            )}
                          </span>
                          {one.state === "dead" && (
                            <button
                              type="button"
                              class="button small"
                              aria-label={t("Send again: {name} to {webhook}", {
                                name: event.name,
                                webhook: one.webhook,
                              })}
                              onClick={() => redeliver(one.id)}
                            >
                              {t("Send again")}
                            </button>
                          )}
                        </li>
                      ))}
                    </ul>
                  )}
                </li>
              ))}
            </ul>
          )
        }
      </Loaded>
      <ShowMore query={events} />
    </section>
  );
}

/** The run, model, box or scheduled job of an event. */
function Subject({ event }: { event: Event }) {
  const href = eventHref(event);
  return href ? (
    <Link class="clip" href={href}>
      {event.name}
    </Link>
  ) : (
    <span class="clip">{event.name}</span>
  );
}
