import { fileURLToPath } from "node:url"
import { build } from "rolldown"

/** Parts of the client that the package does not export, bundled from their source as the package is. */
const folder = fileURLToPath(new URL("../tiers/", import.meta.url))
const parts = ["l1/entry.ts", "l1/l1.ts", "runtime.ts"].map(
  (file) => `export * from ${JSON.stringify(folder + file)}`,
)
const { output } = await build({
  input: "parts",
  plugins: [
    {
      name: "parts",
      resolveId: (id) => (id === "parts" ? id : undefined),
      load: (id) => (id === "parts" ? parts.join("\n") : undefined),
    },
  ],
  write: false,
  platform: "node",
})
export const { L1, L1Entry, systemRuntime } = await import(
  `data:text/javascript,${encodeURIComponent(output[0].code)}`
)
