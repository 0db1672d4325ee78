import { lazy, Suspense } from "react";
import { Route, Switch } from "wouter";
import { LivePage } from "./live/page";
import { useMessages } from "./messages/language";
import { Loading, Notice } from "./parts/states";
import { Shell } from "./shell/shell";

// The first load has the shell and the page of live events. The other pages are loaded when they are opened.
const HomePage = lazy(() => import("./home/page"));
const OrdersPage = lazy(() => import("./orders/list"));
const OrderPage = lazy(() => import("./orders/detail"));
const SearchPage = lazy(() => import("./search/page"));
const StockPage = lazy(() => import("./stock/list"));
const ItemPage = lazy(() => import("./stock/detail"));
const ConsumersPage = lazy(() => import("./consumers/page"));
const TopicsPage = lazy(() => import("./topics/list"));
const TopicPage = lazy(() => import("./topics/detail"));
const AuditPage = lazy(() => import("./audit/list"));
const ActionPage = lazy(() => import("./audit/detail"));
const DeadLettersPage = lazy(() => import("./dead-letters/page"));
const DeadLetterJobPage = lazy(() => import("./dead-letters/job"));
const DeadLetterPage = lazy(() => import("./dead-letters/detail"));

export function App() {
  const m = useMessages();
  return (
    <Shell>
      <Suspense fallback={<Loading />}>
        <Switch>
          <Route path="/" component={HomePage} />
          <Route path="/live" component={LivePage} />
          <Route path="/orders" component={OrdersPage} />
          <Route path="/orders/:id" component={OrderPage} />
          <Route path="/search" component={SearchPage} />
          <Route path="/stock" component={StockPage} />
          <Route path="/stock/:item" component={ItemPage} />
          <Route path="/consumers" component={ConsumersPage} />
          <Route path="/topics" component={TopicsPage} />
          <Route path="/topics/:name" component={TopicPage} />
          <Route path="/audit" component={AuditPage} />
          <Route path="/audit/:service/:id" component={ActionPage} />
          <Route path="/dead-letters" component={DeadLettersPage} />
          <Route path="/dead-letters/:service/jobs/:job" component={DeadLetterJobPage} />
          <Route path="/dead-letters/:service/:id" component={DeadLetterPage} />
          <Route>
            <Notice title={m.shell.noPage} detail={m.shell.noPageDetail} />
          </Route>
        </Switch>
      </Suspense>
    </Shell>
  );
}
