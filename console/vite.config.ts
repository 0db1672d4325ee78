import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// `npm run dev` serves the sources and passes calls on to a running stack.
const STACK = "http://127.0.0.1:8440";

export default defineConfig({
  plugins: [react()],
  build: {
    // The Content-Security-Policy allows no inline script, style or data URL.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // tests/console read the manifest to add up the first load.
    manifest: "manifest.json",
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": STACK, "/session": STACK } },
});
