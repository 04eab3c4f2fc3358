import { useState } from "preact/hooks";
import { dropDraft, keepDraft, readDraft } from "./draft-store.ts";
import { useWho } from "./who.ts";

/**
 * The draft of a text under a name: its text, or null while nobody edits, and the text that it began from.
 * Each person has drafts of their own.
 */
export function useDraft(name: string) {
  const { user_id } = useWho();
  const own = `${user_id}.${name}`;
  const [draft, setDraft] = useState<{ text: string; base: string } | null>(() => readDraft(own));
  return {
    text: draft?.text ?? null,
    base: draft?.base ?? "",
    begin: (base: string) => setDraft({ text: base, base }),
    type: (text: string) => {
      const base = draft?.base ?? "";
      setDraft({ text, base });
      if (text === base) dropDraft(own);
      else keepDraft(own, text, base);
    },
    end: () => {
      setDraft(null);
      dropDraft(own);
    },
  };
}
