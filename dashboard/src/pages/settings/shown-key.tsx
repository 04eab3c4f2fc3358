import type { ComponentChildren } from "preact";
import { t } from "../../i18n.ts";
import { Dialog } from "../../ui/dialog.tsx";
import { Icon } from "../../ui/icon.tsx";

/** A key that is shown this once, with what uses it. */
export const ShownKey = (props: {
  title: string;
  warning: string;
  value: string;
  copy?: ComponentChildren;
  close: () => void;
  children?: ComponentChildren;
}) => (
  <Dialog title={props.title} close={props.close}>
    <div class="note warn">
      <Icon name="warn" />
      <p>{props.warning}</p>
    </div>
    <pre class="code inline" data-testid="new-key">
      {props.value}
    </pre>
    {props.children}
    <div class="actions">
      {props.copy}
      <button type="button" class="button primary small" onClick={props.close}>
        {t("Done")}
      </button>
    </div>
  </Dialog>
);
