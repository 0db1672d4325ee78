import { Dialog } from "@ark-ui/react/dialog";
import { Portal } from "@ark-ui/react/portal";
import type { ReactNode } from "react";
import { Problem } from "../api/problem";
import { mayAct, signInUrl, useSession } from "../api/session";
import { useMessages } from "../messages/language";
import "./action-dialog.css";

interface Props {
  name: string;
  explained: string;
  /** Whether the thing allows the action now. The button also needs the right to act. An open dialog stays open. */
  offered: boolean;
  /** The fields of the dialog, then the result. */
  children: ReactNode;
  error: Error | null;
  /** A trial without an effect, if the action has one. It must succeed before the action. */
  dryRun?: { run: () => void; ready: boolean; passed: boolean };
  /** Whether all that the action needs is typed. */
  ready?: boolean;
  run: () => void;
  busy: boolean;
  done: boolean;
}

/** Ask for what an action needs, try it if it has a dry run, then carry it out. The dialog shows the outcome. */
export function ActionDialog({ name, explained, offered, children, error, dryRun, ready, run, busy, done }: Props) {
  const m = useMessages();
  const session = useSession();
  return (
    <Dialog.Root lazyMount unmountOnExit>
      {offered && mayAct(session) && <Dialog.Trigger className="button">{name}</Dialog.Trigger>}
      <Portal>
        <Dialog.Backdrop className="backdrop" />
        <Dialog.Positioner className="positioner">
          <Dialog.Content className="dialog">
            <Dialog.Title>{name}</Dialog.Title>
            <Dialog.Description>{explained}</Dialog.Description>
            {children}
            {error && <Refused error={error} />}
            <div className="buttons">
              <Dialog.CloseTrigger className="button">{done ? m.actions.close : m.actions.cancel}</Dialog.CloseTrigger>
              {dryRun && (
                <button type="button" className="button" disabled={busy || done || !dryRun.ready} onClick={dryRun.run}>
                  {m.actions.dryRun}
                </button>
              )}
              <button
                type="button"
                className="button primary"
                disabled={busy || done || dryRun?.passed === false || ready === false}
                onClick={run}
              >
                {name}
              </button>
            </div>
          </Dialog.Content>
        </Dialog.Positioner>
      </Portal>
    </Dialog.Root>
  );
}

/** Show why an action was refused. The dialog stays open, so nothing typed is lost when a sign-in has expired. */
function Refused({ error }: { error: Error }) {
  const m = useMessages();
  if (error instanceof Problem && error.status === 401) {
    return (
      <p className="stale" role="alert">
        {m.actions.signInAgain}{" "}
        <a href={signInUrl()} target="_blank" rel="noreferrer">
          {m.states.signIn}
        </a>
      </p>
    );
  }
  const answered = !(error instanceof Problem) || error.status !== 0;
  const sentence = error instanceof Problem ? [error.title, error.detail].filter(Boolean).join(": ") : error.message;
  return (
    <p className="stale" role="alert">
      {answered ? sentence : m.states.unreachable}
    </p>
  );
}
