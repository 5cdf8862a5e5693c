import { kv } from "tiered-kv"
import { azureTables, dynamodb, firestore, redis } from "./bare.js"
import { median, table } from "./compare.js"
import { ServerMissing } from "./servers.js"

const KEYS = 10_000
const AT_ONCE = 1_000
const VALUE = "v".repeat(100)
const ROUNDS = 9
/** Processor time that each side spends before it is measured, and in each round, µs. */
const WARM_UP_US = 1_000_000
const ROUND_US = 200_000

/**
 * The processor time that a store takes for a key, compared with the bare SDK. The vendors' servers run in processes of
 * their own. A server that is not on the machine is named and skipped.
 */
export async function backends() {
  for (const [name, start] of Object.entries({ dynamodb, firestore, "azure-tables": azureTables, redis })) {
    let bare
    try {
      bare = await start()
    } catch (error) {
      if (!(error instanceof ServerMissing)) throw error
      console.log(`\n${name}: skipped, because ${error.message}`)
      continue
    }
    try {
      await measure(bare)
    } finally {
      await bare.stop()
    }
  }
}

async function measure(bare) {
  const store = await kv("bench", { backend: bare.url, l1: false, timeoutMs: 60_000 })
  const keys = Array.from({ length: KEYS }, (_, index) => `user:${index}`)
  await store.setMany(keys.map((key) => [key, VALUE]))

  // The step is coprime to the number of keys: every key comes once, and none is near the previous one.
  let at = 0
  const next = () => {
    at = (at + 3_827) % KEYS
    return keys[at]
  }
  const one = async (read) => {
    for (let i = 0; i < 100; i++) await read(next())
  }
  const many = (read) => Promise.all(Array.from({ length: AT_ONCE }, () => read(next())))
  const scan = async (limit) => {
    let found = 0
    for await (const { value } of store.scan("user:", { limit })) if (value.length > 0) found++
    if (found !== KEYS) throw new Error(`the scan found ${found} keys`)
  }
  const bareScan = async () => {
    const found = await bare.scan("user:")
    if (found !== KEYS) throw new Error(`the bare scan found ${found} keys`)
  }
  const ours = (key) => store.get(key)

  const rows = [
    await row(
      "a lone read",
      100,
      () => one(bare.get),
      () => one(ours),
      { most: 1.1 },
    ),
    await row(
      `${AT_ONCE} reads at once`,
      AT_ONCE,
      () => many(bare.get),
      () => many(ours),
      bare.goalAtOnce,
    ),
    await row(`a scan of ${KEYS}, pages of 1,000`, KEYS, bareScan, () => scan(1_000), { most: 1.2 }),
    await row(`a scan of ${KEYS}, pages of 100`, KEYS, bareScan, () => scan(100)),
  ]
  await store.close()
  rows.push(await requestRow(bare))
  table(`${bare.name}, processor time a key`, ["", "bare SDK", "kv(), L1 off", "ratio", "goal"], rows)
}

/** The two take turns, and the result is the median of the rounds' ratios, because the speed of the machine drifts. */
async function row(title, keys, bare, ours, goal = {}) {
  const [bareRuns, ourRuns] = [await runsFor(bare), await runsFor(ours)]
  const spent = { bare: [], ours: [] }
  for (let round = 0; round < ROUNDS; round++) {
    spent.bare.push((await cpuOf(bare, bareRuns)) / keys)
    spent.ours.push((await cpuOf(ours, ourRuns)) / keys)
  }
  const ratio = median(spent.ours.map((us, round) => us / spent.bare[round]))
  const us = (times) => `${median(times).toFixed(1)} µs`
  return [title, us(spent.bare), us(spent.ours), `${ratio.toFixed(2)}×`, verdict(ratio, goal)]
}

/** Warms the function up. Returns how often it has to run for a round. */
async function runsFor(run) {
  let spent = 0
  let last = 0
  while (spent < WARM_UP_US) {
    last = await cpuOf(run)
    spent += last
  }
  return Math.ceil(ROUND_US / last)
}

/** µs of processor time, of all threads of this process, that one of so many runs takes. */
async function cpuOf(run, runs = 1) {
  const before = process.cpuUsage()
  for (let i = 0; i < runs; i++) await run()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / runs
}

/** Requests for distinct keys that are asked for at once, over as few as the service takes them in. */
async function requestRow(bare) {
  let requests = 0
  const backend = await bare.backend()
  const counted = {
    ...backend,
    get(key) {
      requests++
      return backend.get(key)
    },
    getMany(keys) {
      requests++
      return backend.getMany(keys)
    },
  }
  const store = await kv("bench", { backend: counted, l1: false })
  await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => store.get(`user:${index}`)))
  await store.close()
  await backend.close()
  const fewest = Math.ceil(AT_ONCE / backend.traits.maxReadBatch)
  const title = `requests for ${AT_ONCE} keys at once`
  return [
    title,
    fewest,
    requests,
    `${(requests / fewest).toFixed(2)}×`,
    verdict(requests / fewest, { most: 1.02 }),
  ]
}

/** `most`: the largest ratio aimed at; `cheaper`: how many times cheaper than the bare calls it should be. */
function verdict(ratio, { most, cheaper }) {
  if (cheaper !== undefined) return `${cheaper}× cheaper ${1 / ratio >= cheaper ? "met" : "MISSED"}`
  if (most === undefined) return ""
  return `≤ ${most}× ${ratio <= most ? "met" : "MISSED"}`
}
