import { useState } from "preact/hooks";
import { t } from "../../i18n.ts";
import type { Task } from "../../types.ts";
import { Icon } from "../../ui/icon.tsx";
import { mayWrite, useWho } from "../../who.ts";
import { useEdit } from "./edit.ts";

/** The tags of a run, and buttons that add and remove one. */
export function Tags({ task }: { task: Task }) {
  const me = useWho();
  const edit = useEdit(task);
  const [draft, setDraft] = useState<string | null>(null);
  const tags = Object.entries(task.tags ?? {});
  const may = mayWrite(me, task.user_id);
  const add = (text: string) => {
    const [name = "", ...rest] = text.split("=");
    if (!name.trim()) return setDraft(null);
    const changed = edit({ tags: { ...task.tags, [name.trim()]: rest.join("=").trim() } });
    void changed.then((saved) => saved && setDraft(null));
  };
  return (
    <section class="panel" aria-label={t("Tags")}>
      <header>
        <h2 class="grow">{t("Tags")}</h2>
        {may && (
          <button
            type="button"
            class="button plain icon small"
            aria-label={t("Add a tag")}
            onClick={() => setDraft("")}
          >
            <Icon name="plus" />
          </button>
        )}
      </header>
      <div class="body row wrap">
        {tags.map(([name, value]) => (
          <span key={name} class="tag">
            <span class="clip">
              <span class="faint">{name}</span> {value}
            </span>
            {may && (
              <button
                type="button"
                aria-label={t("Remove the tag {name}", { name })}
                onClick={() =>
                  void edit({ tags: Object.fromEntries(tags.filter(([other]) => other !== name)) })
                }
              >
                <Icon name="close" />
              </button>
            )}
          </span>
        ))}
        {tags.length === 0 && draft === null && <p class="faint">{t("No tags.")}</p>}
        {draft !== null && (
          <form
            class="grow"
            onSubmit={(event) => {
              event.preventDefault();
              add(draft);
            }}
          >
            <input
              class="field small"
              aria-label={t("Tag")}
              placeholder={t("kind = style")}
              maxLength={1000}
              // biome-ignore lint/a11y/noAutofocus: it appears by the button just pressed.
              autoFocus
              value={draft}
              onInput={(event) => setDraft(event.currentTarget.value)}
              onBlur={() => draft.trim() === "" && setDraft(null)}
              onKeyDown={(event) => event.key === "Escape" && setDraft(null)}
            />
          </form>
        )}
      </div>
    </section>
  );
}
