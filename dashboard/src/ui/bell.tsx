import { lazy, Suspense } from "preact/compat";
import { useEffect, useRef, useState } from "preact/hooks";
import { MOST_ALERTS, useAlerts } from "../alerts.ts";
import { t } from "../i18n.ts";
import { areNoticesOn } from "../notices.ts";
import { Icon } from "./icon.tsx";
import { Skeleton } from "./loading.tsx";
import { Menu } from "./menu.tsx";

const BellList = lazy(() => import("./bell-list.tsx").then((module) => module.BellList));

/** The bell with the number of unread alerts, and their list. */
export function Bell() {
  const [isOpen, setOpen] = useState(false);
  const alerts = useAlerts(isOpen);
  const { unread, items } = alerts;
  const told = useRef(0);
  const newest = items[0]?.id ?? 0;
  useEffect(() => {
    if (!areNoticesOn() || newest <= told.current) return;
    told.current = newest;
    void import("./bell-list.tsx").then(({ notifyOf }) => notifyOf(items));
  }, [newest]);
  return (
    <Menu
      class="bell"
      keepOpen
      toggled={setOpen}
      label={
        <>
          <Icon name="bell" />
          <span class="grow">{t("Alerts")}</span>
          {unread > 0 && (
            <span>
              <span class="count">{unread >= MOST_ALERTS ? `${MOST_ALERTS}+` : unread}</span>
              <span class="visually-hidden"> {t("unread")}</span>
            </span>
          )}
        </>
      }
    >
      <Suspense fallback={<Skeleton lines={4} />}>
        <BellList alerts={alerts} />
      </Suspense>
    </Menu>
  );
}
