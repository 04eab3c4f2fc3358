import { createTwoFilesPatch } from "diff";
import { useMemo } from "preact/hooks";
import { t } from "../../i18n.ts";
import { Highlight } from "../../ui/highlight.tsx";

/** Longer texts would keep the page busy. */
const MOST_COMPARED = 300_000;

/** The lines in which a text differs from the one that it began as. */
export function Lines({ before, after }: { before: string; after: string }) {
  const patch = useMemo(
    () =>
      before.length + after.length > MOST_COMPARED
        ? null
        : createTwoFilesPatch("before", "now", before, after, "", "", {
            context: 2,
            timeout: 1000,
          })?.replace(/^=+\n/, ""),
    [before, after],
  );
  return (
    <details class="panel differing-lines">
      <summary>
        {before === after
          ? t("No line differs from the beginning")
          : t("Lines that differ from the beginning")}
      </summary>
      {before !== after &&
        (patch ? (
          <Highlight text={patch} language="diff" />
        ) : (
          <p class="body muted">{t("The two are too long, or too different, to compare here.")}</p>
        ))}
    </details>
  );
}
