import { useEffect, useRef, useState } from "preact/hooks";
import { Skeleton } from "../../ui/loading.tsx";
import type { CodeLanguage } from "./code.ts";
import type { Place } from "./places.ts";

type Opened = ReturnType<typeof import("./code.ts")["openEditor"]>;

/** A file to edit, with its language's colours, completion of settings and marks where something is said of it. */
export function Editor(props: {
  label: string;
  /** The text to begin with. From then on the editor's own counts: another one needs another key. */
  text: string;
  language: CodeLanguage;
  settings?: readonly string[];
  places?: readonly Place[];
  change: (text: string) => void;
}) {
  const { label, text, language, settings, places, change } = props;
  const host = useRef<HTMLDivElement>(null);
  const changed = useRef(change);
  changed.current = change;
  const [editor, setEditor] = useState<Opened | null>(null);
  useEffect(() => {
    let opened: Opened | null = null;
    let wanted = true;
    void import("./code.ts").then(({ openEditor }) => {
      if (!wanted || !host.current) return;
      opened = openEditor(host.current, label, text, (next) => changed.current(next));
      setEditor(opened);
    });
    return () => {
      wanted = false;
      opened?.close();
    };
  }, [label]);
  useEffect(() => editor?.speak(language), [editor, language]);
  useEffect(() => editor?.complete(settings ?? []), [editor, settings]);
  // A text that was just written has other lines than the one before.
  useEffect(() => editor?.mark(places ?? []), [editor, places]);
  return (
    <>
      {!editor && (
        <div class="body">
          <Skeleton lines={10} />
        </div>
      )}
      <div class="code-editor" ref={host} hidden={!editor} />
    </>
  );
}
