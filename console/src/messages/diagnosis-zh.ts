import type { DiagnosisCode, Told } from "./diagnosis-en";

const lacks = (d: Told) =>
  d.has("missing")
    ? `缺 ${d.number("missing")} 件 ${d.text("item_id")}${d.has("more") ? `，另有 ${d.number("more")} 行` : ""}`
    : "所缺物料在此未知";

export const diagnosisZh: Record<DiagnosisCode, (d: Told) => string> = {
  awaiting_answer: (d) => `自 ${d.time("since")} 起等待 inventory-service 的答复。`,
  answer_overdue: (d) => `inventory-service 的答复已逾期：订单自 ${d.time("since")} 起等待。`,
  answer_on_its_way: (d) => `inventory-service 已决定，order-service 自 ${d.time("since")} 起尚未读取。`,
  waits_for_stock: (d) => `自 ${d.time("since")} 起等待库存，${lacks(d)}。`,
  waits_for_rest: (d) => `已持有一部分，自 ${d.time("since")} 起等待其余部分，${lacks(d)}。`,
  stock_withdrawn: (d) => `曾确认，但在 ${d.time("since")} 失去了预留库存，${lacks(d)}。`,
  stock_found: (d) => `自 ${d.time("since")} 起库存已齐，order-service 尚未确认。`,
  stock_lost: (d) => `已确认，但在 ${d.time("since")} 失去了预留库存，order-service 尚未读到。`,
  releasing: (d) => `已于 ${d.time("since")} 取消，inventory-service 尚未归还其库存。`,
  confirmed: (d) => `自 ${d.time("since")} 起已确认：库存全部预留，无需等待。`,
  rejected: (d) => `已于 ${d.time("since")} 被拒绝（${d.text("reason")}），无需等待。`,
  cancelled: (d) => `已于 ${d.time("since")} 取消（${d.text("reason")}），无需等待。`,

  orders_ahead: (d) =>
    `${d.text("item_id")} 的队列中，前面${d.has("complete") ? "" : "至少"}有 ${d.number("orders")} 个订单，共缺 ${d.number("units")} 件。`,
  first_in_queue: (d) => `它在 ${d.text("item_id")} 的队列中排第一，目前有 ${d.number("available")} 件未预留。`,
  item_discontinued: (d) => `${d.text("item_id")} 已停用，此订单得不到它的库存。`,
  place_unknown: () => "inventory-service 没有响应，因此队列中的位置未知。",
  outbox_blocked: (d) =>
    `${d.text("service")} 的发件箱中有 ${d.number("messages")} 条未发送的消息，最早的已等待 ${d.number("seconds")} 秒。`,
  worker_not_running: (d) => `${d.text("service")} 没有工作进程在运行，因此不发送也不读取事件。`,
  reader_silent: (d) =>
    d.has("seen_at")
      ? `${d.text("service")} 的消费者没有读取，最后一次出现在 ${d.time("seen_at")}。`
      : `${d.text("service")} 的消费者从未读取此分区。`,
  reader_stopped: (d) => `${d.text("service")} 的消费者自 ${d.time("since")} 起已停止：${d.text("reason")}`,
  reader_behind: (d) => `在此订单的事件之前，${d.text("service")} 还要读取 ${d.number("records")} 条记录。`,
  event_parked: (d) =>
    `${d.text("service")} 无法处理此订单的一个事件，已将其存为死信 ${d.text("id")}：${d.text("reason")}`,
  event_retried: (d) => `${d.text("service")} 自 ${d.time("since")} 起重试此订单的一个事件：${d.text("reason")}`,
  log_late: (d) =>
    `日志落后${d.has("seconds") ? ` ${d.number("seconds")} 秒` : "的时间未知"}，此处可能缺少较新的事件。`,

  answer_or_cancelled: (d) => `inventory-service 通常在一秒内答复。若无答复，订单在 ${d.time("at")} 之后被取消。`,
  cancelled_without_answer: () => "因为没有答复，order-service 将取消此订单。",
  answer_read: () => "order-service 将读取决定并更改订单。",
  served_or_expires: (d) => `新库存按顺序分配给它。若库存不足，它将在 ${d.time("at")} 被取消。`,
  served_in_turn: () => "新库存按顺序分配给它。",
  expires: (d) => (d.has("at") ? `它将在 ${d.time("at")} 被取消。` : "期限一到它就会被取消。"),
  stock_given_back: () => "inventory-service 将读取取消并归还库存。",
  sent_later: (d) => `Kafka 一旦接受，${d.text("service")} 就会发送该事件。`,
  worker_starts: (d) => `${d.text("service")} 的工作进程重新运行后会继续。`,
  caught_up: (d) =>
    d.has("at")
      ? `${d.text("service")} 大约在 ${d.time("at")} 读到该事件。`
      : `${d.text("service")} 会读到该事件；按目前的速度无法给出时间。`,
  decision_carried_out: (d) => `${d.text("service")} 正在执行决定（${d.text("decision")}），然后继续。`,
  person_decides: () => "在有人作出决定之前，什么也不会发生。",
  retried: (d) => `${d.text("service")} 会自动重试。`,
  nothing: () => "不会再自动发生任何事情。",

  cancel: () => "取消订单，其库存归其他订单。",
  receive: (d) => `如果货物已到，请收货 ${d.number("missing")} 件 ${d.text("item_id")}。`,
  activate: (d) => `重新启用 ${d.text("item_id")}。`,
  order_anew: () => "合作伙伴可以发送修正后的订单。",
  park: (d) => `搁置 ${d.text("service")} 无法处理的内容，让它继续。`,
  skip: (d) => `让 ${d.text("service")} 跳过它无法读取的内容。`,
  redrive: () => "原因消除后，再次处理该事件。",
  discard: () => "放弃该事件。",
  start_worker: (d) => `启动 ${d.text("service")} 的一个工作进程。`,
  check_kafka: (d) => `检查 Kafka 是否运行，并查看 ${d.text("service")} 工作进程的日志。`,

  service_silent: (d) => `${d.text("service")} 没有响应（${d.text("reason")}），因此缺少它的部分。`,
  status_from_events: () => "order-service 没有响应：状态取自日志中的事件。",
  events_missing: (d) =>
    `日志中订单的事件到第 ${d.number("have")} 号为止，order-service 已到第 ${d.number("version")} 号。`,
  log_stopped: (d) => `日志自 ${d.time("since")} 起已停止，此处缺少较新的事件。`,
  log_not_running: () => "analytics-service 没有工作进程在运行，此处缺少较新的事件。",
};
