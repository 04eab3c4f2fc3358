import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { expectSuccess, session } from "./api.ts";
import { dateTime } from "./format.ts";
import { currentLanguage, speak, type Text, t } from "./i18n.ts";
import { usePoll } from "./live.ts";
import { forgetPerson } from "./session.ts";
import { applyTheme, chosenTheme, type Theme } from "./theme.ts";
import { useDocumentTitle } from "./title.ts";
import { Bell } from "./ui/bell.tsx";
import { Icon, type IconName } from "./ui/icon.tsx";
import { Menu } from "./ui/menu.tsx";
import { attempt } from "./ui/toast.tsx";
import { useWho } from "./who.ts";

const places: { path: string; icon: IconName; text: Text }[] = [
  { path: "/runs", icon: "runs", text: "Runs" },
  { path: "/compare", icon: "compare", text: "Compare" },
  { path: "/board", icon: "board", text: "Board" },
  { path: "/leaderboard", icon: "trophy", text: "Leaderboard" },
  { path: "/models", icon: "models", text: "Models" },
  { path: "/settings", icon: "settings", text: "Settings" },
];

const themes: { theme: Theme; text: Text }[] = [
  { theme: "system", text: "As the system" },
  { theme: "light", text: "Light" },
  { theme: "dark", text: "Dark" },
];

/** Whether an address is a place's own or below it. */
const isAt = (path: string, place: string) => path === place || path.startsWith(`${place}/`);

/** The frame of every page: links to the others, and who is signed in. */
export function Shell({ children }: { children: ComponentChildren }) {
  const [path] = useLocation();
  const me = useWho();
  const main = useRef<HTMLElement>(null);
  const { data, lostSince } = usePoll();
  const running = data?.running.length ?? 0;
  const place = places.find((one) => isAt(path, one.path));
  useDocumentTitle(place ? t(place.text) : "");

  const signOut = () =>
    attempt(async () => {
      await expectSuccess(session.$delete());
      forgetPerson();
      // A draft in this tab is not for whoever signs in next.
      sessionStorage.clear();
      location.assign("/");
    });

  return (
    <div class="app">
      <a class="visually-hidden" href="#main" onClick={() => main.current?.focus()}>
        {t("To the content")}
      </a>
      <header class="side">
        <Link class="brand" href="/runs">
          <img src="/icon.svg" alt="" />
          LoRA Ledger
        </Link>
        <nav aria-label={t("Pages")}>
          {places.map(({ path: to, icon, text }) => (
            <Link key={to} href={to} aria-current={isAt(path, to) ? "page" : undefined}>
              <Icon name={icon} />
              {t(text)}
              {to === "/runs" && running > 0 && (
                <span class="count" title={t("{n} running", { n: running })}>
                  {running}
                </span>
              )}
            </Link>
          ))}
        </nav>
        <div class="foot">
          <Bell />
          <Menu
            class="who"
            name={t("{name}: language, theme, signing out", { name: me.name })}
            label={
              <>
                <span class="initial" data-initial={[...me.name][0]?.toUpperCase()} />
                <span class="grow clip">{me.name}</span>
                <Icon name="up" />
              </>
            }
          >
            {themes.map(({ theme, text }) => (
              <button key={theme} type="button" class="item" onClick={() => applyTheme(theme)}>
                <Icon name={chosenTheme() === theme ? "check" : "sun"} />
                {t(text)}
              </button>
            ))}
            <hr />
            <button type="button" class="item" lang="en" onClick={() => void speak("en")}>
              <Icon name={currentLanguage() === "en" ? "check" : "language"} />
              English
            </button>
            <button type="button" class="item" lang="zh-Hans" onClick={() => void speak("zh")}>
              <Icon name={currentLanguage() === "zh" ? "check" : "language"} />
              简体中文
            </button>
            <hr />
            <a class="item" href="/docs/">
              <Icon name="file" />
              {t("The API")}
            </a>
            <button type="button" class="item" onClick={signOut}>
              <Icon name="out" />
              {t("Sign out")}
            </button>
          </Menu>
        </div>
      </header>
      <main class="main" id="main" ref={main} tabIndex={-1}>
        {lostSince !== null && (
          <p class="strip" role="status">
            <Icon name="warn" />
            {t(
              "The ledger cannot be reached. The page shows what it was at {time}, and tries again by itself.",
              { time: dateTime(new Date(lostSince).toISOString()) },
            )}
          </p>
        )}
        {children}
      </main>
    </div>
  );
}
