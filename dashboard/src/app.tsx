import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { lazy, Suspense } from "preact/compat";
import { useEffect, useState } from "preact/hooks";
import { Redirect, Route, Switch } from "wouter-preact";
import { onSignedOut, Problem } from "./api.ts";
import { t, useLanguage } from "./i18n.ts";
import { Runs } from "./pages/runs/runs.tsx";
import { meQuery } from "./queries.ts";
import { Shell } from "./shell.tsx";
import { Empty, Skeleton, Trouble } from "./ui/loading.tsx";
import { Toasts } from "./ui/toast.tsx";
import { nobody, WhoContext } from "./who.ts";

const SignIn = lazy(() => import("./pages/sign-in.tsx").then((page) => page.SignIn));
const Run = lazy(() => import("./pages/run/run.tsx").then((page) => page.Run));
const NewRun = lazy(() => import("./pages/new-run/new-run.tsx").then((page) => page.NewRun));
const Compare = lazy(() => import("./pages/compare/compare.tsx").then((page) => page.Compare));
const Board = lazy(() => import("./pages/board/board.tsx").then((page) => page.Board));
const Leaderboard = lazy(() =>
  import("./pages/leaderboard/leaderboard.tsx").then((page) => page.Leaderboard),
);
const Models = lazy(() => import("./pages/models/models.tsx").then((page) => page.Models));
const Settings = lazy(() => import("./pages/settings/settings.tsx").then((page) => page.Settings));

/** Set while this browser has a session; the session itself no script can see. */
const SIGNED_IN = "ledger.signed-in";

const waiting = (
  <div class="page">
    <Skeleton lines={6} />
  </div>
);

export function App() {
  useLanguage();
  const client = useQueryClient();
  const me = useQuery(meQuery);
  const [signedOut, setSignedOut] = useState(false);
  useEffect(
    () =>
      onSignedOut(() => {
        localStorage.removeItem(SIGNED_IN);
        setSignedOut(true);
      }),
    [],
  );
  useEffect(() => {
    if (me.data) localStorage.setItem(SIGNED_IN, "1");
  }, [me.data]);

  if (signedOut || (me.error instanceof Problem && me.error.status === 401))
    return (
      <Suspense fallback={null}>
        <SignIn
          done={() => {
            client.clear();
            setSignedOut(false);
          }}
        />
        <Toasts />
      </Suspense>
    );
  if (me.error)
    return (
      <div class="page">
        <Trouble error={me.error} again={() => void me.refetch()} />
      </div>
    );
  // A session most likely lasts: the page asks for its rows before the answer confirms it.
  if (!me.data && !localStorage.getItem(SIGNED_IN)) return null;
  return (
    <WhoContext.Provider value={me.data ?? nobody}>
      <Shell>
        <Suspense fallback={waiting}>
          <Switch>
            <Route path="/">
              <Redirect to="/runs" replace />
            </Route>
            <Route path="/runs" component={Runs} />
            <Route path="/runs/:id">{({ id }) => <Run key={id} id={Number(id)} />}</Route>
            <Route path="/new" component={NewRun} />
            <Route path="/compare" component={Compare} />
            <Route path="/board/:part?">{({ part }) => <Board part={part} />}</Route>
            <Route path="/leaderboard" component={Leaderboard} />
            <Route path="/models/:name?">
              {({ name }) => <Models name={name && decodeURIComponent(name)} />}
            </Route>
            <Route path="/settings/:part?">{({ part }) => <Settings part={part} />}</Route>
            <Route path="/sign-in">
              <Redirect to="/runs" replace />
            </Route>
            <Route>
              <Empty icon="search" title={t("There is no such page")}>
                <a class="button" href="/runs">
                  {t("To the runs")}
                </a>
              </Empty>
            </Route>
          </Switch>
        </Suspense>
      </Shell>
      <Toasts />
    </WhoContext.Provider>
  );
}
