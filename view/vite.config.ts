// One classic script and one style sheet: modules do not load from file://, where exports are read.
import { defineConfig } from "vite";

export default defineConfig({
  esbuild: { jsx: "automatic", jsxImportSource: "preact", legalComments: "none" },
  build: {
    outDir: "../codeact/view/page",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
    cssCodeSplit: false,
    lib: { entry: "src/main.tsx", formats: ["iife"], name: "codeactView", fileName: () => "app.js", cssFileName: "app" },
    minify: true,
  },
  define: { "process.env.NODE_ENV": '"production"' },
});
