import { readFile } from "node:fs/promises"
import { expect, test } from "vitest"
import manifest from "../package.json" with { type: "json" }
import { brokenRules, type Room } from "./support/import-rules.ts"
import { circlesIn, importsOf, loadedBy, readTree } from "./support/imports.ts"
import { reachInsOf } from "./support/reach-ins.ts"

const tree = await readTree(["src", "tiers", "telemetry"])
const imports = importsOf(tree)

/** The backends' folders: those with a description for the catalogue. */
const BACKENDS = Object.keys(tree).flatMap((file) => /^tiers\/[\w-]+\/(?=binding\.ts$)/.exec(file) ?? [])

/** Packages that a backend loads when it is opened. */
const SDKS = [
  ...Object.keys(manifest.optionalDependencies),
  ...Object.keys(manifest.peerDependencies).filter((name) => name !== "@opentelemetry/api"),
]

const CONTRACTS = ["backend", "binding", "buses/bus", "errors", "limits", "provisioning", "runtime"].map(
  (name) => `tiers/${name}.ts`,
)

/** What the algorithm, the operations and the store may all import. */
const CORE = [
  "api",
  "counters",
  "counting",
  "duration-buckets",
  "failures",
  "hit-times",
  "json",
  "listener",
  "open-store",
  "open-stores",
  "options",
  "stats",
].map((name) => `src/${name}.ts`)

const ROOMS: readonly Room[] = [
  { files: CONTRACTS, values: CONTRACTS },
  { files: ["tiers/util/", "tiers/backend-kit.ts"], values: [...CONTRACTS, "tiers/util/"] },
  { files: ["tiers/l1/"], values: [...CONTRACTS, "tiers/l1/", "tiers/util/"] },
  {
    files: ["tiers/memory.ts", "tiers/memory-binding.ts"],
    values: [...CONTRACTS, "tiers/memory.ts", "tiers/util/"],
  },
  ...BACKENDS.map((folder) => ({
    files: [folder],
    values: [...CONTRACTS, folder, "tiers/util/"],
    dynamic: [...SDKS, "tiers/wrappers/prefixed.ts"],
  })),
  {
    files: ["tiers/buses/"],
    values: [...CONTRACTS, "tiers/buses/", "tiers/redis/", "tiers/util/"],
    types: ["ioredis"],
  },
  { files: ["tiers/wrappers/"], values: [...CONTRACTS, "tiers/wrappers/", "tiers/util/"] },
  { files: ["tiers/testing/"], values: [...CONTRACTS, "tiers/testing/", "tiers/util/deadline.ts"] },

  {
    files: ["src/binding/catalogue.ts"],
    values: [...CONTRACTS, "tiers/memory-binding.ts", ...BACKENDS.map((folder) => `${folder}binding.ts`)],
  },
  {
    files: ["src/binding/"],
    values: [...CONTRACTS, "src/binding/", "src/operations/keys.ts", "tiers/util/"],
    dynamic: ["tiers/buses/"],
  },
  {
    files: ["src/coherence/"],
    values: [...CONTRACTS, ...CORE, "src/coherence/", "tiers/l1/", "tiers/util/", "lru-cache"],
  },
  {
    files: ["src/operations/", "src/store.ts"],
    values: [...CONTRACTS, ...CORE, "src/operations/", "src/coherence/", "tiers/l1/", "tiers/util/"],
  },
  {
    files: CORE,
    values: [
      ...CONTRACTS,
      ...CORE,
      "src/operations/keys.ts",
      "tiers/util/",
      "tiers/wrappers/resilience/options.ts",
    ],
    types: ["src/coherence/", "tiers/l1/", "telemetry/options.ts"],
  },
  {
    files: ["src/kv.ts"],
    values: [
      ...CONTRACTS,
      ...CORE,
      "src/binding/",
      "src/coherence/",
      "src/operations/",
      "src/store.ts",
      "tiers/l1/",
      "telemetry/store-telemetry.ts",
      "telemetry/suppression.ts",
    ],
    dynamic: ["tiers/wrappers/"],
  },
  {
    files: ["src/index.ts"],
    values: [...CONTRACTS, ...CORE, "src/kv.ts"],
    types: ["src/coherence/bus/bus-stats.ts", "telemetry/options.ts"],
  },
  // What is built on the public API imports only the public API.
  { files: ["src/patterns/"], values: ["src/patterns/", "src/index.ts"] },
  { files: ["src/adapters/"], values: ["src/adapters/", "src/index.ts"] },
  // The command that serves the dashboard, itself loaded by `import()`.
  {
    files: ["src/cli/dashboard.ts"],
    values: [
      "src/cli/",
      "telemetry/dashboard/access.ts",
      "telemetry/dashboard/handler.ts",
      "telemetry/dashboard/node.ts",
    ],
  },
  {
    files: ["src/cli/"],
    values: [...CONTRACTS, "src/", "tiers/util/", "commander"],
  },

  // The page runs in a browser.
  {
    files: ["telemetry/dashboard/page/"],
    values: [
      "telemetry/dashboard/page/",
      "telemetry/dashboard/report.ts",
      "src/counters.ts",
      "tiers/util/format.ts",
    ],
  },
  { files: ["telemetry/dashboard/build/"], values: ["telemetry/dashboard/build/", "rolldown"] },
  {
    files: ["telemetry/"],
    values: [
      "telemetry/",
      "src/open-stores.ts",
      "src/counters.ts",
      "src/counting.ts",
      "src/duration-buckets.ts",
      "src/failures.ts",
      "tiers/errors.ts",
      "tiers/runtime.ts",
      "tiers/util/packages.ts",
    ],
    // OpenTelemetry's API is never loaded: 27 ms of a cold start, and a second copy of it beside that of the SDK.
    types: ["src/", "tiers/", "@opentelemetry/api"],
  },
]

test("no two files of the package import each other, not even as types, and not by way of others", () => {
  expect(circlesIn(imports)).toEqual([])
})

test("every file of the package imports only what its folder may", () => {
  expect(brokenRules(tree, imports, ROOMS)).toEqual([])
})

test("every SDK belongs to one backend's folder", () => {
  for (const sdk of SDKS) {
    const users = imports.filter(({ to }) => to === sdk).map(({ from }) => from)
    expect(
      BACKENDS.filter((folder) => users.some((file) => file.startsWith(folder))),
      sdk,
    ).toHaveLength(1)
  }
})

test("the main entry loads lru-cache and no other package", () => {
  const packages = [...loadedBy("src/index.ts", imports)].filter((name) => !(name in tree))
  expect(packages.filter((name) => !name.startsWith("node:"))).toEqual(["lru-cache"])
})

test("every reach into a dependency stands on the decision page", async () => {
  const page = new URL("../docs/decisions/0013-reaching-into-dependencies.md", import.meta.url)
  const rows = (await readFile(page, "utf8")).split("\n").filter((line) => line.startsWith("|"))
  const listed = ({ file, what }: { file: string; what: string }) =>
    rows.some((row) => row.includes(`\`${file}\``) && row.includes(`\`${what}\``))
  expect(reachInsOf(tree, imports).filter((reachIn) => !listed(reachIn))).toEqual([])

  const files = rows.flatMap((row) => row.split("|")[1]?.match(/[\w./-]+\.ts/g) ?? [])
  expect(
    files.filter((file) => !(file in tree)),
    "files that the page lists, and that are not there",
  ).toEqual([])
})
