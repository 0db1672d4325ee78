import type { Messages } from "./en";

export const zh: Messages = {
  shell: {
    skip: "跳到正文",
    pages: "页面",
    live: "实时",
    theme: "配色",
    themes: { system: "跟随系统", light: "浅色", dark: "深色" },
    language: "语言",
    noPage: "此页面不存在",
    noPageDetail: "请从列表中选择一个页面。",
  },
  states: {
    loading: "正在加载…",
    failed: "无法加载",
    again: "重试",
    unreachable: "服务器没有响应。",
    signIn: "登录",
    signedOut: "您尚未登录",
    signedOutDetail: "登录后才能查看此页面。",
  },
  live: {
    title: "实时事件",
    status: {
      connecting: "正在连接…",
      open: "实时",
      retrying: "连接中断，正在重新连接…",
      waiting: "已暂停",
      hidden: "等待此标签页显示",
      failed: "已停止",
    },
    empty: "还没有事件",
    emptyDetail: "事件到达 Kafka 后会显示在这里。",
    list: "事件，最新的在前",
    time: "时间",
    topic: "主题",
    type: "类型",
    key: "键",
  },
};
