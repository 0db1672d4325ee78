import { useMemo, useSyncExternalStore } from "react";
import { useMessages } from "../messages/language";
import { Failure, Notice } from "../parts/states";
import { EventList } from "./list";
import { LiveStream } from "./stream";
import "./live.css";

const STREAM = "/api/analytics-service/v1/stream";

export function LivePage() {
  const m = useMessages();
  const stream = useMemo(
    () => new LiveStream((cursor) => (cursor === undefined ? STREAM : `${STREAM}?after=${encodeURIComponent(cursor)}`)),
    [],
  );
  const { feed, status, error } = useSyncExternalStore(stream.subscribe, stream.view);
  return (
    <div className="live">
      <div className="heading">
        <h1>{m.live.title}</h1>
        <p className={`status ${status}`} role="status">
          {m.live.status[status]}
        </p>
      </div>
      {error !== undefined ? (
        <Failure error={error} again={stream.again} />
      ) : feed.shown.length === 0 && status === "open" ? (
        <Notice title={m.live.empty} detail={m.live.emptyDetail} />
      ) : (
        <EventList events={feed.shown} />
      )}
    </div>
  );
}
