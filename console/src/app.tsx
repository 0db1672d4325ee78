import { Suspense } from "react";
import { Redirect, Route, Switch } from "wouter";
import { LivePage } from "./live/page";
import { useMessages } from "./messages/language";
import { Loading, Notice } from "./parts/states";
import { Shell } from "./shell/shell";

export function App() {
  const m = useMessages();
  return (
    <Shell>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/">
            <Redirect to="/live" replace />
          </Route>
          <Route path="/live" component={LivePage} />
          <Route>
            <Notice title={m.shell.noPage} detail={m.shell.noPageDetail} />
          </Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}
