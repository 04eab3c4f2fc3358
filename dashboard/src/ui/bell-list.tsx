import { useEffect, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { navigate } from "wouter-preact/use-browser-location";
import type { AlertEvent, useAlerts } from "../alerts.ts";
import { t } from "../i18n.ts";
import { notify, switchNotices, useNotices } from "../notices.ts";
import { eventHref, eventKinds, particulars } from "./events.ts";
import { Ago } from "./figure.tsx";
import { Segments } from "./form.tsx";
import { Loaded } from "./loading.tsx";

/** Shows a notice of the browser for each event that had none. */
export const notifyOf = (events: readonly AlertEvent[]) =>
  notify(
    events.map((event) => ({
      ...{ id: event.id, uid: event.uid },
      title: `${t(eventKinds[event.kind].text)}: ${event.name}`,
      text: event.detail ? particulars(event.detail) : "",
    })),
    (id) => {
      const event = events.find((one) => one.id === id);
      navigate((event && eventHref(event)) ?? "/board/alerts");
    },
  );

/** The newest alerts; opening the list reads them. */
export function BellList({ alerts }: { alerts: ReturnType<typeof useAlerts> }) {
  const { query, items, whose, isUnread } = alerts;
  // They stay marked as new while the list is open.
  const [fresh, setFresh] = useState<ReadonlySet<number>>(new Set());
  useEffect(() => {
    if (!query.data) return;
    const unread = items.filter(isUnread).map(({ id }) => id);
    if (unread.length > 0) setFresh((before) => new Set([...before, ...unread]));
    alerts.read();
  }, [query.data, whose]);
  return (
    <div class="bell-list">
      <div class="row wrap">
        <b class="grow">{t("Alerts")}</b>
        <Segments
          label={t("Whose")}
          value={whose}
          options={[
            ["mine", t("Mine")],
            ["all", t("All")],
          ]}
          choose={(next) => void alerts.choose(next)}
        />
      </div>
      {alerts.newest === 0 ? (
        <p class="faint">{t("No events yet")}</p>
      ) : (
        <Loaded query={query} lines={4}>
          {() =>
            items.length === 0 ? (
              <p class="faint">{t("Nothing new of yours.")}</p>
            ) : (
              <ul>
                {items.map((event) => (
                  <One key={event.id} event={event} isNew={fresh.has(event.id)} />
                ))}
              </ul>
            )
          }
        </Loaded>
      )}
      <NoticeSwitch newest={alerts.newest} />
      <Link class="item" href="/board/alerts">
        {t("All alerts and their messages")}
      </Link>
    </div>
  );
}

function One({ event, isNew }: { event: AlertEvent; isNew: boolean }) {
  const href = eventHref(event);
  const text = (
    <>
      <span class="row">
        <span class={`badge ${eventKinds[event.kind].badge}`}>
          {t(eventKinds[event.kind].text)}
        </span>
        <b class="clip grow">{event.name}</b>
        {isNew && <span class="badge running">{t("new")}</span>}
        <span class="faint nowrap">
          <Ago at={event.created_at} />
        </span>
      </span>
      {event.detail && <span class="muted clip detail">{particulars(event.detail)}</span>}
    </>
  );
  return (
    <li>
      {href ? (
        <Link class="item" href={href}>
          {text}
        </Link>
      ) : (
        <div class="item">{text}</div>
      )}
    </li>
  );
}

/** Switches the notices of this browser on and off, or says why there are none. */
function NoticeSwitch({ newest }: { newest: number }) {
  const state = useNotices();
  if (state === "impossible")
    return <p class="faint">{t("This browser shows no notices here: they need https.")}</p>;
  if (state === "denied")
    return <p class="faint">{t("The browser's settings for this page forbid notices.")}</p>;
  return (
    <label class="check">
      <input
        type="checkbox"
        checked={state === "on"}
        onChange={({ currentTarget }) => void switchNotices(currentTarget.checked, newest)}
      />
      {t("Notices of this browser, while a page of the ledger is open")}
    </label>
  );
}
