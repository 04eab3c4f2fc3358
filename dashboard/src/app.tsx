import { useQuery, useQueryClient } from "@tanstack/preact-query";
import { lazy, Suspense } from "preact/compat";
import { useCallback, useEffect, useState } from "preact/hooks";
import { Redirect, Route, Switch } from "wouter-preact";
import { onSignedOut, Problem } from "./api.ts";
import { setCurrency } from "./format.ts";
import { useLanguage } from "./i18n.ts";
import { Runs } from "./pages/runs/runs.tsx";
import { meQuery } from "./queries.ts";
import { type Ended, isSignedIn, noteEnded, noteSignedIn, onOtherTab } from "./session.ts";
import { Shell } from "./shell.tsx";
import { Nowhere, Skeleton, Trouble } from "./ui/loading.tsx";
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

const waiting = (
  <div class="page">
    <Skeleton lines={6} />
  </div>
);

export function App() {
  useLanguage();
  const client = useQueryClient();
  const me = useQuery(meQuery);
  setCurrency(me.data?.currency ?? null);
  const [ended, setEnded] = useState<Ended | null>(null);
  const enter = useCallback(() => {
    client.clear();
    setEnded(null);
    void client.refetchQueries(meQuery);
  }, [client]);
  useEffect(
    () =>
      onSignedOut(() => {
        setEnded((before) => before ?? (isSignedIn() ? "ended" : "never"));
        noteEnded();
      }),
    [],
  );
  useEffect(
    () =>
      onOtherTab((signedIn) => {
        if (signedIn) enter();
        else setEnded((before) => before ?? "elsewhere");
      }),
    [enter],
  );
  useEffect(() => {
    if (me.data && ended === null) noteSignedIn(me.data.user_id);
  }, [me.data, ended]);

  if (ended !== null || (me.error instanceof Problem && me.error.status === 401))
    return (
      <Suspense fallback={null}>
        <SignIn why={ended ?? "never"} done={enter} />
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
  if (!me.data && !isSignedIn()) return null;
  return (
    <WhoContext.Provider value={me.data ?? nobody}>
      <Shell>
        <Suspense fallback={waiting}>
          <Switch>
            <Route path="/">
              <Redirect to="/runs" replace />
            </Route>
            <Route path="/runs" component={Runs} />
            <Route path="/runs/:id">{({ id }) => <Run key={id} id={id} />}</Route>
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
              <Nowhere />
            </Route>
          </Switch>
        </Suspense>
      </Shell>
      <Toasts />
    </WhoContext.Provider>
  );
}
