import { lazy, Suspense } from "preact/compat";
import { useEffect, useRef, useState } from "preact/hooks";
import { useAlerts } from "../alerts.ts";
import { whole } from "../format.ts";
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
  const name =
    unread > 0 ? t("Alerts: {n} unread", { n: whole(unread) }) : t("Alerts, none unread");
  return (
    <Menu
      class="bell"
      name={name}
      keepOpen
      toggled={setOpen}
      label={
        <>
          <Icon name="bell" />
          <span class="grow">{t("Alerts")}</span>
          {unread > 0 && <span class="count">{unread > 49 ? "49+" : unread}</span>}
        </>
      }
    >
      <Suspense fallback={<Skeleton lines={4} />}>
        <BellList alerts={alerts} />
      </Suspense>
    </Menu>
  );
}
