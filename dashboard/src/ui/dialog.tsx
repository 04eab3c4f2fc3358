import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { t } from "../i18n.ts";
import { Trouble } from "./loading.tsx";

/** A dialog that keeps the focus until it is answered or left by Escape. */
export function Dialog(props: { title: string; close: () => void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    // A dialog that is taken off the page gives the focus back to nobody.
    return () => requestAnimationFrame(() => before instanceof HTMLElement && before.focus());
  }, []);
  return (
    <dialog ref={element} onClose={props.close} aria-label={props.title}>
      <div class="content">
        <h1>{props.title}</h1>
        {props.children}
      </div>
    </dialog>
  );
}

/** A dialog with a form that it sends; after an error it stays open and shows the error. */
export function Ask(props: {
  title: string;
  submit: string;
  ready?: boolean;
  close: () => void;
  send: () => Promise<unknown>;
  children?: ComponentChildren;
}) {
  const [error, setError] = useState<unknown>(null);
  const [sending, setSending] = useState(false);
  const send = async (event: Event) => {
    event.preventDefault();
    setSending(true);
    setError(null);
    try {
      await props.send();
    } catch (thrown) {
      setError(thrown);
    } finally {
      setSending(false);
    }
  };
  return (
    <Dialog title={props.title} close={props.close}>
      <form class="stack" onSubmit={send}>
        {props.children}
        {error !== null && <Trouble error={error} />}
        <div class="actions">
          <button type="button" class="button" onClick={props.close}>
            {t("Back")}
          </button>
          <button type="submit" class="button primary" disabled={sending || props.ready === false}>
            {props.submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}
