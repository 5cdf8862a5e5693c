import { readFileSync } from "node:fs"
import { defineConfig, type Plugin } from "rolldown"
import { bundlePage } from "./telemetry/dashboard/build/bundle.ts"

const { exports, bin }: { exports: Record<string, string | { default: string }>; bin: object } = JSON.parse(
  readFileSync(new URL("package.json", import.meta.url), "utf8"),
)

/** What can be imported or run, by the paths of the built files without their extension. */
const entries = [
  ...Object.values(exports),
  ...Object.values(bin),
  "dist/examples/start.js",
  "dist/examples/observed-service.js",
]
  .map((target) => (typeof target === "string" ? target : target.default))
  .flatMap((file) => /^(?:\.\/)?dist\/(.*)\.js$/.exec(file)?.[1] ?? [])

/** Replaces the module that bundles the dashboard's page by one that contains its text. */
const pageText: Plugin = {
  name: "page-text",
  load: {
    filter: { id: /\/telemetry\/dashboard\/page-text\.ts$/ },
    async handler() {
      const page = await bundlePage(new URL("telemetry/dashboard/page/", import.meta.url))
      const constants = Object.entries(page).map(
        ([name, text]) => `export const ${name} = ${JSON.stringify(text)}\n`,
      )
      return { code: constants.join(""), moduleType: "js" }
    },
  },
}

/** What the store shares with the entries of the backends and of the dashboard, which can be used without it. It has no `import()`. */
const SHARED =
  /\/tiers\/(?:util\/)?[\w-]+\.ts$|\/tiers\/redis\/(?:url|settings)\.ts$|\/src\/(?:counters|counting|duration-buckets|failures|open-stores)\.ts$/

/**
 * The package as it is published, but for its types. Opening a file takes longer than reading it, so what a process needs to open a store and to
 * read from memory is in two files, `base` and `core`. What a store may never need is apart.
 */
export default defineConfig({
  input: Object.fromEntries(entries.map((entry) => [entry, `${entry}.ts`])),
  platform: "node",
  external: /^[^./]/,
  plugins: [pageText],
  output: {
    dir: "dist",
    format: "esm",
    chunkFileNames: "chunks/[name].js",
    minifyInternalExports: false,
    comments: { legal: true, annotation: true, jsdoc: false },
    codeSplitting: {
      groups: [
        { name: "base", test: SHARED, priority: 3 },
        {
          name: "core",
          test: /\/src\/(?!cli\/)|\/tiers\/l1\/|\/telemetry\/[\w-]+\.ts$|\/telemetry\/metrics\//,
          priority: 2,
        },
        { name: "network", test: /\/tiers\/wrappers\//, priority: 1 },
      ],
    },
  },
})
