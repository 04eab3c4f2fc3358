import { lazy, Suspense } from "preact/compat";

const Markdown = lazy(() => import("./markdown.tsx").then((module) => module.Markdown));

/** A note in Markdown; as it was typed, until the reader of Markdown is there. */
export const NoteText = ({ text }: { text: string }) => (
  <Suspense fallback={<p class="notes">{text}</p>}>
    <Markdown text={text} />
  </Suspense>
);
