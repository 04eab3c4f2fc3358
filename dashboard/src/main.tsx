import { QueryClient, QueryClientProvider } from "@tanstack/preact-query";
import { render } from "preact";
import { Problem } from "./api.ts";
import { App } from "./app.tsx";
import { preferredLanguage, speak } from "./i18n.ts";
import { applyTheme, chosenTheme } from "./theme.ts";

applyTheme(chosenTheme());

// MLflow's client prints an address with this fragment: a run's id there is its number in 32 digits.
const ofMlflow = /^#\/experiments\/\d+(?:\/runs\/0*([1-9]\d*))?$/.exec(location.hash);
if (ofMlflow) history.replaceState(null, "", ofMlflow[1] ? `/runs/${ofMlflow[1]}` : "/runs");

const client = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 30_000,
      gcTime: 5 * 60_000,
      refetchOnWindowFocus: false,
      // The service refuses a request again; one that did not reach it may succeed.
      retry: (count, error) =>
        count < 2 && !(error instanceof Problem && error.status >= 400 && error.status < 500),
    },
  },
});

await speak(preferredLanguage(), false);
const root = document.getElementById("app");
if (root)
  render(
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>,
    root,
  );
