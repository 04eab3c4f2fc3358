import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";

type Node = {
  type: string;
  value?: string;
  properties?: { className?: unknown };
  children?: Node[];
};

/** The highlighter's tree as elements: what it found is text, never markup. */
const draw = (nodes: Node[]): ComponentChildren[] =>
  nodes.map((node, n) =>
    node.type === "text" ? (
      node.value
    ) : (
      <span
        key={n}
        class={Array.isArray(node.properties?.className) ? node.properties.className.join(" ") : ""}
      >
        {draw(node.children ?? [])}
      </span>
    ),
  );

export type Language = "ini" | "yaml" | "json" | "diff" | "text";

/** A text with its language's words coloured, once the highlighter is there. */
export function Highlight({ text, language }: { text: string; language: Language }) {
  const [tree, setTree] = useState<Node[] | null>(null);
  useEffect(() => {
    let current = true;
    setTree(null);
    // Long files are shown as they are: colours are not worth a page that hangs.
    if (language === "text" || text.length > 300_000) return;
    void import("./lowlight.ts").then(({ highlight }) => {
      if (current) setTree(highlight(language, text));
    });
    return () => {
      current = false;
    };
  }, [text, language]);
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a text that scrolls has to be reached by keys.
    <pre class="code highlight" tabIndex={0}>
      {tree ? draw(tree) : text}
    </pre>
  );
}
