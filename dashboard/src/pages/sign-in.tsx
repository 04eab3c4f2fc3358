import { useEffect, useState } from "preact/hooks";
import { api, Problem, read, session } from "../api.ts";
import { currentLanguage, speak, t } from "../i18n.ts";
import type { Ended } from "../session.ts";
import { Icon } from "../ui/icon.tsx";
import { Trouble } from "../ui/loading.tsx";

/** The code of a one-time link, taken out of the address so that neither history nor a copy keeps it. */
function takeCode(): string | null {
  const [, code] = location.hash.match(/^#code=([\w-]+)$/) ?? [];
  if (code) history.replaceState(history.state, "", location.pathname);
  return code ?? null;
}

/** Exchanges a pasted key, or a one-time link's code, for a session that no script can read. */
export function SignIn({ done, why }: { done: () => void; why: Ended }) {
  const [key, setKey] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  useEffect(() => {
    document.title = `${t("Sign in")} · LoRA Ledger`;
    const code = takeCode();
    if (code) void exchange({ code });
  }, []);

  function submit(event: SubmitEvent) {
    event.preventDefault();
    // A line as the terminal shows it may be pasted whole.
    void exchange({ key: key.trim().replace(/^(?:export\s+)?(?:LEDGER_KEY=|Bearer\s+)/, "") });
  }

  async function exchange(json: { key: string } | { code: string }) {
    setBusy(true);
    setError(null);
    try {
      const response = await session.$post({ json });
      await read(Promise.resolve(response));
      const me = await api.me.$get();
      if (!me.ok)
        throw new Problem(
          me.status,
          t(
            "The browser did not keep the session: open this page over https, or at http://localhost.",
          ),
        );
      done();
    } catch (failure) {
      setError(failure);
      setBusy(false);
    }
  }

  return (
    <main class="sign-in">
      <form onSubmit={submit}>
        <img class="mark" src="/icon.svg" alt="" />
        <div>
          <h1>{t("Sign in")}</h1>
          <p class="muted">
            {t("Paste your key. It is exchanged for a session in this browser and kept nowhere.")}
          </p>
        </div>
        {why !== "never" && (
          <p class="note warn" role="status">
            <Icon name="info" />
            {why === "ended"
              ? t(
                  "Your session has ended. Sign in again: this page and what you typed are still there.",
                )
              : t("You signed out in another tab.")}
          </p>
        )}
        <label class="labelled">
          {t("Key")}
          <textarea
            class="field"
            required
            // biome-ignore lint/a11y/noAutofocus: the page is this one field.
            autoFocus
            autoComplete="off"
            spellcheck={false}
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
            onKeyDown={(event) => {
              if (event.key !== "Enter") return;
              event.preventDefault();
              event.currentTarget.form?.requestSubmit();
            }}
          />
        </label>
        {error !== null && <Trouble error={error} />}
        <button type="submit" class="button primary" disabled={busy || key.trim() === ""}>
          {busy ? t("One moment…") : t("Sign in")}
        </button>
        <details class="muted">
          <summary>{t("Where do I get a key?")}</summary>
          <p>
            {t("On the machine that runs the ledger:")} <code>npm run key -- {t("YOUR-NAME")}</code>
          </p>
          <p>
            {t(
              "npm start keeps the first one in .local/key, and prints a one-time link to sign in:",
            )}{" "}
            <code>npm run key -- --link</code>
          </p>
        </details>
        <p class="row">
          <button
            type="button"
            class="button plain small"
            lang={currentLanguage() === "zh" ? "en" : "zh-Hans"}
            onClick={() => void speak(currentLanguage() === "zh" ? "en" : "zh")}
          >
            <Icon name="language" />
            {currentLanguage() === "zh" ? "English" : "简体中文"}
          </button>
        </p>
      </form>
    </main>
  );
}
