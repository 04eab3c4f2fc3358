import { useQuery } from "@tanstack/preact-query";
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { explainError, Problem, readBytes } from "../../api.ts";
import { bytes, whole } from "../../format.ts";
import { t } from "../../i18n.ts";
import type { Attempt, Task } from "../../types.ts";
import { Segments } from "../../ui/form.tsx";
import { Icon } from "../../ui/icon.tsx";
import { Empty } from "../../ui/loading.tsx";
import { joinTail, type Log, partsOf, placesOf, unpackLog } from "./console-lines.ts";
import { consoleLogQuery } from "./queries.ts";

/** Lines of a page of a log. */
const PAGE = 1000;
/** Bytes of a packed log that is loaded unasked. */
const LOADED_UNASKED = 1_000_000;
/** Pixels from the end that still count as the end. */
const NEAR = 24;

/** The console of a run's attempts: live while one runs, whole when it has ended. */
export function Console({ task }: { task: Task }) {
  const [chosen, setChosen] = useState<number | null>(null);
  const attempt = task.attempts.find((one) => one.attempt === chosen) ?? task.attempts[0];
  if (!attempt)
    return (
      <Empty icon="file" title={t("No console output yet.")}>
        <p>{t("The console of the trainer appears here as soon as a box begins the run.")}</p>
      </Empty>
    );
  return (
    <div class="stack">
      {task.status === "failed" && isLong(task.error_message) && (
        <div class="note bad">
          <Icon name="warn" />
          <p class="notes">{task.error_message}</p>
        </div>
      )}
      {task.attempts.length > 1 && (
        <div>
          <Segments
            label={t("Attempts")}
            value={String(attempt.attempt)}
            options={[...task.attempts]
              .reverse()
              .map((one) => [String(one.attempt), t("Attempt {n}", { n: one.attempt })] as const)}
            choose={(next) => setChosen(Number(next))}
          />
        </div>
      )}
      <One key={attempt.attempt} task={task} attempt={attempt} />
    </div>
  );
}

/** Whether an error does not fit the one line above the tabs. */
const isLong = (message: string | null) =>
  message !== null && (message.trim().includes("\n") || message.length > 160);

/** The packed log of an attempt, as far as it was read; `load` begins. */
function useWholeLog(taskId: number, attempt: Attempt) {
  const { data: file } = useQuery({
    ...consoleLogQuery(taskId, attempt.attempt),
    enabled: attempt.status !== "running",
  });
  const [log, setLog] = useState<Log | null>(null);
  const [state, setState] = useState<"none" | "loading" | "there">("none");
  const [error, setError] = useState<unknown>(null);
  const leave = useRef(new AbortController());
  useEffect(() => () => leave.current.abort(), []);
  const load = async () => {
    if (!file) return;
    setState("loading");
    setError(null);
    try {
      const packed = await readBytes(`/api/weights/${file.id}/console`, leave.current.signal);
      setLog(await unpackLog(packed));
      setState("there");
    } catch (failure) {
      if (leave.current.signal.aborted) return;
      setState("none");
      setError(
        failure instanceof Problem ? failure : new Error(t("The log is damaged: download it.")),
      );
    }
  };
  const small = file !== undefined && file !== null && file.size <= LOADED_UNASKED;
  useEffect(() => {
    if (small) void load();
  }, [small]);
  return { file, log, state, error, load };
}

function One({ task, attempt }: { task: Task; attempt: Attempt }) {
  const isLive = attempt.status === "running";
  const { file, log, state, error, load } = useWholeLog(task.id, attempt);
  const seen = useRef<string[]>([]);
  const live = useMemo(() => {
    if (attempt.tail) seen.current = joinTail(seen.current, attempt.tail);
    return seen.current;
  }, [attempt.tail]);
  const lines = log?.lines ?? live;
  return (
    <Lines
      lines={lines}
      isLive={isLive}
      about={
        <>
          <span class="muted">
            {log
              ? t("{n} lines", { n: whole(lines.length) })
              : isLive
                ? t("The latest lines; new ones appear with each report.")
                : t("The last lines")}
          </span>
          {file && !log && (
            <button
              type="button"
              class="button small"
              disabled={state === "loading"}
              onClick={() => void load()}
            >
              {state === "loading"
                ? t("One moment…")
                : t("Show the whole log ({size})", { size: bytes(file.size) })}
            </button>
          )}
          {file && (
            <a
              class="button plain small"
              href={`/api/weights/${file.id}/download`}
              download="console.log.gz"
            >
              <Icon name="download" />
              {t("Download")}
            </a>
          )}
        </>
      }
    >
      {error !== null && <p class="bad-text body">{explainError(error)}</p>}
      {log?.isCut && (
        <p class="muted body">
          {t("The log is longer than a page can hold: its beginning is shown. Download the rest.")}
        </p>
      )}
    </Lines>
  );
}

/** Lines page by page, with a search; those of a live console follow what comes. */
function Lines(props: {
  lines: string[];
  isLive: boolean;
  about: ComponentChildren;
  children: ComponentChildren;
}) {
  const { lines, isLive } = props;
  const pages = Math.max(1, Math.ceil(lines.length / PAGE));
  // The last page is where one begins to read, and it stays the last as lines come.
  const [page, setPage] = useState<number | null>(null);
  const shown = Math.min(page ?? pages - 1, pages - 1);
  const first = shown * PAGE;
  const [follows, setFollows] = useState(true);
  const [word, setWord] = useState("");
  const [at, setAt] = useState(0);
  const found = useMemo(() => placesOf(lines, word), [lines, word]);
  const place = found[Math.min(at, found.length - 1)];
  const box = useRef<HTMLDivElement>(null);

  useLayoutEffect(() => {
    const element = box.current;
    if (follows && page === null && element) element.scrollTop = element.scrollHeight;
  }, [lines, follows, page]);
  useEffect(() => {
    if (place !== undefined)
      box.current?.querySelector(`[data-line="${place}"]`)?.scrollIntoView({ block: "center" });
  }, [place, shown]);

  const show = (n: number) => {
    setAt(n);
    const line = found[n];
    if (line === undefined) return;
    setFollows(false);
    setPage(Math.floor(line / PAGE));
  };
  const search = (next: string) => {
    setWord(next);
    setAt(0);
    const [line] = placesOf(lines, next, 1);
    if (line === undefined) return;
    setFollows(false);
    setPage(Math.floor(line / PAGE));
  };
  const step = (by: number) => {
    const all = found.length;
    if (all > 0) show((Math.min(at, all - 1) + by + all) % all);
  };
  const turn = (to: number) => {
    setFollows(false);
    setPage(to);
    if (box.current) box.current.scrollTop = 0;
  };
  const follow = () => {
    setPage(null);
    setFollows(true);
  };

  return (
    <section class="panel console" aria-label={t("Console")}>
      <header class="wrap">
        <h2>{t("Console")}</h2>
        {props.about}
        <span class="grow" />
        <form
          class="row"
          role="search"
          onSubmit={(event) => {
            event.preventDefault();
            step(1);
          }}
        >
          <input
            class="field small"
            type="search"
            aria-label={t("Search the console")}
            placeholder={t("Search the console")}
            maxLength={200}
            value={word}
            onInput={(event) => search(event.currentTarget.value)}
          />
          {word && (
            <>
              <span class="muted nowrap" aria-live="polite">
                {found.length === 0
                  ? t("nothing")
                  : t("{n} of {all}", {
                      n: whole(Math.min(at, found.length - 1) + 1),
                      all: whole(found.length),
                    })}
              </span>
              <button
                type="button"
                class="button plain icon small"
                aria-label={t("The one before")}
                onClick={() => step(-1)}
              >
                <Icon name="up" />
              </button>
              <button type="submit" class="button plain icon small" aria-label={t("The next one")}>
                <Icon name="down" />
              </button>
            </>
          )}
        </form>
      </header>
      {props.children}
      {lines.length === 0 ? (
        <p class="body faint">{t("No console output yet.")}</p>
      ) : (
        <div class="console-frame">
          <div
            ref={box}
            class="code console-lines"
            // biome-ignore lint/a11y/noNoninteractiveTabindex: a text that scrolls has to be reached by keys.
            tabIndex={0}
            role="group"
            aria-label={t("Lines of the console")}
            onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
              if (page !== null) return;
              setFollows(scrollHeight - scrollTop - clientHeight <= NEAR);
            }}
          >
            {lines.slice(first, first + PAGE).map((line, n) => (
              <Line
                key={first + n}
                at={first + n}
                line={line}
                word={word}
                isFound={first + n === place}
              />
            ))}
          </div>
          {isLive && !follows && (
            <button type="button" class="button small follow" onClick={follow}>
              <Icon name="down" />
              {t("Follow the console")}
            </button>
          )}
        </div>
      )}
      {pages > 1 && (
        <nav class="row body console-pages" aria-label={t("Pages of the log")}>
          <button
            type="button"
            class="button small"
            disabled={shown === 0}
            onClick={() => turn(shown - 1)}
          >
            {t("Earlier lines")}
          </button>
          <span class="muted">
            {t("lines {first} to {last} of {all}", {
              first: whole(first + 1),
              last: whole(Math.min(lines.length, first + PAGE)),
              all: whole(lines.length),
            })}
          </span>
          <button
            type="button"
            class="button small"
            disabled={shown === pages - 1}
            onClick={() => turn(shown + 1)}
          >
            {t("Later lines")}
          </button>
        </nav>
      )}
    </section>
  );
}

function Line(props: { at: number; line: string; word: string; isFound: boolean }) {
  const parts = partsOf(props.line, props.word);
  return (
    <div data-line={props.at} class={props.isFound ? "found" : undefined}>
      {parts.length === 1
        ? props.line || "\u00a0"
        : parts.map((part, n) => (n % 2 === 1 ? <mark key={n}>{part}</mark> : part))}
    </div>
  );
}
