import { useDraft } from "../../drafts.ts";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { NoteText } from "../../ui/notes.tsx";
import { mayWrite, useWho } from "../../who.ts";
import { useEdit } from "./edit.ts";

const MOST = 50_000;

/** The note of a run in Markdown; what somebody types stays in the browser until it is saved. */
export function Notes({ task }: { task: Task }) {
  const me = useWho();
  const edit = useEdit(task);
  const draft = useDraft(`note.${task.id}`);
  const may = mayWrite(me, task.user_id);
  const now = task.notes ?? "";
  return (
    <section class="panel" aria-label={t("Notes")}>
      <header>
        <h2 class="grow">{t("Notes")}</h2>
        {may && draft.text === null && (
          <button
            type="button"
            class="button plain icon small"
            aria-label={t("Edit the notes")}
            onClick={() => draft.begin(now)}
          >
            <Icon name="edit" />
          </button>
        )}
      </header>
      <div class="body">
        {draft.text === null || !may ? (
          now ? (
            <NoteText text={now} />
          ) : (
            <p class="faint">
              {may ? t("What should be remembered of this run?") : t("No notes.")}
            </p>
          )
        ) : (
          <form
            class="stack"
            onSubmit={(event) => {
              event.preventDefault();
              void edit({ notes: draft.text ?? "" }).then((saved) => saved && draft.end());
            }}
          >
            <textarea
              class="field"
              aria-label={t("Notes")}
              rows={8}
              maxLength={MOST}
              // biome-ignore lint/a11y/noAutofocus: it takes the place of the button just pressed.
              autoFocus
              value={draft.text}
              onInput={(event) => draft.type(event.currentTarget.value)}
              onKeyDown={(event) => {
                if (event.key === "Escape" && draft.text === draft.base) draft.end();
                if (event.key === "Enter" && (event.metaKey || event.ctrlKey))
                  event.currentTarget.form?.requestSubmit();
              }}
            />
            {now !== draft.base && (
              <p class="notes muted">
                {t("Meanwhile it says:")} {now}
              </p>
            )}
            <div class="row wrap">
              <button type="submit" class="button primary small">
                {t("Save")}
              </button>
              <button type="button" class="button plain small" onClick={draft.end}>
                {draft.text === draft.base ? t("Back") : t("Discard")}
              </button>
              <span class="faint">{t("Markdown; a draft stays in this browser.")}</span>
            </div>
          </form>
        )}
      </div>
    </section>
  );
}
