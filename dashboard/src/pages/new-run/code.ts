import { autocompletion, type CompletionContext, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { HighlightStyle, StreamLanguage, syntaxHighlighting } from "@codemirror/language";
import { json } from "@codemirror/legacy-modes/mode/javascript";
import { shell } from "@codemirror/legacy-modes/mode/shell";
import { toml } from "@codemirror/legacy-modes/mode/toml";
import { yaml } from "@codemirror/legacy-modes/mode/yaml";
import { type Diagnostic, lintGutter, setDiagnostics } from "@codemirror/lint";
import { Compartment } from "@codemirror/state";
import { EditorView, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import type { Place } from "./places.ts";

const modes = { json, toml, yaml, text: shell };
export type CodeLanguage = keyof typeof modes;

const colours = HighlightStyle.define([
  { tag: tags.comment, color: "var(--faint)" },
  { tag: [tags.string, tags.special(tags.string)], color: "var(--success)" },
  { tag: [tags.number, tags.bool, tags.atom], color: "var(--cancelled)" },
  {
    tag: [tags.propertyName, tags.keyword, tags.definition(tags.variableName)],
    color: "var(--accent)",
  },
  { tag: [tags.heading, tags.meta], color: "var(--running)" },
]);

const look = EditorView.theme({
  "&": {
    backgroundColor: "var(--panel)",
    color: "var(--text)",
    fontSize: "12.5px",
    height: "100%",
  },
  "&.cm-focused": { outline: "2px solid var(--accent)", outlineOffset: "-2px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.55", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-gutters": {
    backgroundColor: "var(--sunken)",
    color: "var(--faint)",
    border: "none",
  },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--hover)" },
  ".cm-tooltip": {
    backgroundColor: "var(--raised)",
    color: "var(--text)",
    border: "1px solid var(--line-strong)",
  },
  ".cm-tooltip-autocomplete ul li[aria-selected]": {
    backgroundColor: "var(--accent-fill)",
    color: "var(--on-accent)",
  },
});

/** Completes a setting at the beginning of its line, by the last part of its path. */
function completeFrom(settings: readonly string[]) {
  const options = new Map<string, { label: string; detail?: string; type: string }>();
  for (const path of settings) {
    const label = /[^.\]]+$/.exec(path)?.[0];
    if (label && !options.has(label))
      options.set(label, { label, type: "property", ...(label !== path && { detail: path }) });
  }
  return (context: CompletionContext) => {
    const line = context.matchBefore(/^.*$/m)?.text ?? "";
    const word = /^[\s\-{,"']*([\w-]*)$/.exec(line)?.[1];
    if (word === undefined || (word === "" && !context.explicit)) return null;
    return {
      from: context.pos - word.length,
      options: [...options.values()],
      validFor: /^[\w-]*$/,
    };
  };
}

/** What a person edits a file with. `host` gets a shadow root, whose styles the page's policy allows. */
export function openEditor(
  host: HTMLElement,
  label: string,
  doc: string,
  change: (text: string) => void,
) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const language = new Compartment();
  const completion = new Compartment();
  const view = new EditorView({
    root,
    parent: root,
    doc,
    extensions: [
      lineNumbers(),
      lintGutter(),
      history(),
      highlightActiveLine(),
      syntaxHighlighting(colours),
      look,
      language.of([]),
      completion.of([]),
      keymap.of([...completionKeymap, ...defaultKeymap, ...historyKeymap]),
      EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false", tabindex: "0" }),
      // Where a text is typed over a selection, the browser would copy styles, which the policy stops.
      EditorView.domEventHandlers({
        beforeinput(event, of) {
          const isTyped = event.inputType === "insertText" && event.data !== null && !of.composing;
          if (!isTyped || of.state.selection.main.empty) return false;
          event.preventDefault();
          of.dispatch(of.state.replaceSelection(event.data ?? ""), { userEvent: "input.type" });
          return true;
        },
      }),
      EditorView.updateListener.of((update) => {
        if (update.docChanged) change(update.state.doc.toString());
      }),
    ],
  });
  return {
    speak(name: CodeLanguage) {
      view.dispatch({ effects: language.reconfigure(StreamLanguage.define(modes[name])) });
    },
    complete(settings: readonly string[]) {
      view.dispatch({
        effects: completion.reconfigure(autocompletion({ override: [completeFrom(settings)] })),
      });
    },
    mark(places: readonly Place[]) {
      const { doc } = view.state;
      const diagnostics = places.flatMap(({ line, column, message, bad }): Diagnostic[] => {
        if (line > doc.lines) return [];
        const { from, to } = doc.line(line);
        const at = Math.min(from + Math.max(0, column - 1), to);
        return [{ from: at, to, severity: bad ? "error" : "warning", message }];
      });
      view.dispatch(setDiagnostics(view.state, diagnostics));
    },
    close: () => view.destroy(),
  };
}
