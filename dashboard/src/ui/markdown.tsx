import { marked, type Token } from "marked";
import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";

/** Notes that are longer are shown as they are: their marks are not worth a page that hangs. */
const MOST = 50_000;
/** How deep lists and quotes may lie in each other. */
const DEEPEST = 20;

/** The address of a link as it may be followed; null for any but the web's, a mail's and this ledger's own. */
export function safeAddress(href: string): string | null {
  // Browsers leave these characters out of an address before they look for its scheme.
  const address = [...href].filter((sign) => sign > " " && sign !== "\u007f").join("");
  if (/^(?:https?:\/\/|mailto:)/i.test(address)) return address;
  // A path of this ledger or a place on the page; `//host` and `/\host` are other hosts.
  return /^(?:\/(?![/\\])|#)/.test(address) ? address : null;
}

const entities: Record<string, string> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#39;": "'",
};
/** The characters that a text names by entities, as browsers show them. */
const plain = (text: string) =>
  text.replaceAll(/&(?:amp|lt|gt|quot|#39);/g, (entity) => entities[entity] ?? entity);

const all = (tokens: Token[] | undefined, depth: number) =>
  tokens?.map((token, n) => <Part key={n} token={token} depth={depth} />);

function Linked({ href, children }: { href: string; children: ComponentChildren }) {
  const address = safeAddress(href);
  if (address === null) return <>{children}</>;
  if (address.startsWith("/") || address.startsWith("#")) return <a href={address}>{children}</a>;
  return (
    <a href={address} target="_blank" rel="noopener noreferrer">
      {children}
    </a>
  );
}

/** One token as an element of its own; one that is not known here is its text. */
function Part({ token, depth }: { token: Token; depth: number }): ComponentChildren {
  if (depth > DEEPEST) return token.raw;
  const within = "tokens" in token ? all(token.tokens, depth + 1) : undefined;
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading":
      return <p class="md-heading">{within}</p>;
    case "paragraph":
      return <p>{within}</p>;
    case "blockquote":
      return <blockquote>{within}</blockquote>;
    case "hr":
      return <hr />;
    case "br":
      return <br />;
    case "strong":
      return <strong>{within}</strong>;
    case "em":
      return <em>{within}</em>;
    case "del":
      return <del>{within}</del>;
    case "codespan":
      return <code>{token.text}</code>;
    case "code":
      return <pre class="code inline">{token.text}</pre>;
    case "link":
      return <Linked href={String(token.href)}>{within}</Linked>;
    // A picture would ask its host as soon as somebody reads the note: its address is a link.
    case "image":
      return <Linked href={String(token.href)}>{plain(String(token.text)) || token.href}</Linked>;
    case "list": {
      const items = token.items as { tokens: Token[]; task: boolean; checked?: boolean }[];
      const parts = items.map((item, n) => (
        <li key={n}>
          {item.task && (item.checked ? "☑ " : "☐ ")}
          {all(
            item.tokens.filter(({ type }) => type !== "checkbox"),
            depth + 1,
          )}
        </li>
      ));
      return token.ordered ? <ol start={Number(token.start) || 1}>{parts}</ol> : <ul>{parts}</ul>;
    }
    case "table": {
      type Cell = { tokens: Token[] };
      const head = token.header as Cell[];
      const rows = token.rows as Cell[][];
      return (
        <div class="scroll-x">
          <table class="plain">
            <thead>
              <tr>
                {head.map((cell, n) => (
                  <th key={n}>{all(cell.tokens, depth + 1)}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.map((row, n) => (
                <tr key={n}>
                  {row.map((cell, at) => (
                    <td key={at}>{all(cell.tokens, depth + 1)}</td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      );
    }
    case "text":
    case "escape":
      return within ?? plain(String(token.text));
    default:
      return token.raw;
  }
}

/** The tokens of a text; null where it is too long or the reader gives up on it. */
function read(text: string): Token[] | null {
  if (text.length > MOST) return null;
  try {
    return marked.lexer(text, { gfm: true, breaks: true });
  } catch {
    // Whatever the reader cannot take apart is still the person's text.
    return null;
  }
}

/**
 * A text in Markdown as elements: none of it is ever markup, so that nothing in it runs; markup that it
 * holds is shown as the text it is. Links open in a tab of their own and learn nothing of this page.
 */
export function Markdown({ text }: { text: string }) {
  const tokens = useMemo(() => read(text), [text]);
  return tokens ? <div class="md">{all(tokens, 0)}</div> : <p class="notes">{text}</p>;
}
