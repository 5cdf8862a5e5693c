import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { expect, onTestFinished, test } from "vitest"
import type { Kv } from "../../../src/api.ts"
import { kv } from "../../../src/kv.ts"
import { dashboard } from "../../../telemetry/dashboard/handler.ts"
import type { Backend } from "../../../tiers/backend.ts"
import { forward } from "../../../tiers/wrappers/forward.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { requireBrowser } from "../../support/browser.ts"
import { serveDashboard } from "../../support/dashboard-fixture.ts"
import { remoteMemory } from "../../support/remote-memory.ts"

/**
 * Takes the pictures of the documentation, in some minutes: the real page over a real Redis and a real LMDB, which work.
 * `SCREENSHOTS=docs/images npx vitest run test/telemetry/dashboard/screenshots.test.ts`
 */
const FOLDER = process.env.SCREENSHOTS
/** How long the stores work before the pictures are taken, s. */
const SECONDS = Number(process.env.SCREENSHOT_SECONDS ?? 300)
const WIDE = { width: 1180, height: 860 }

if (FOLDER === undefined) {
  test.skip("pictures of the page are taken only where SCREENSHOTS names a folder for them", () => {})
} else {
  await requireBrowser((browser) => {
    const picture = (name: string) => ({ path: join(FOLDER, `dashboard-${name}.png`) })

    test("the pictures show the page empty, busy, slow, failing, with twelve stores, dark and on a phone", {
      timeout: 1_800_000,
    }, async () => {
      const redis = await startRedisServer()
      onTestFinished(() => redis.stop())
      const url = await serveDashboard(dashboard({ name: "web-1" }))
      const page = await browser.newPage({ viewport: { width: 1180, height: 420 } })
      await page.goto(url)
      await page.getByText("No store is open").waitFor()
      await page.screenshot(picture("empty"))

      const folder = mkdtempSync(join(tmpdir(), "shop-"))
      onTestFinished(() => rmSync(folder, { recursive: true }))
      const stop = new AbortController()
      const open = async (name: string, options: Parameters<typeof kv>[1]) => {
        const store = await kv(name, options)
        onTestFinished(() => store.close())
        return store
      }
      const small = { maxEntries: 250, ttlMs: 60_000 }
      const busy = await open("documents", { backend: `lmdb:${join(folder, "documents")}`, l1: small })
      const down = { l1: { maxEntries: 2_000, maxBytes: 1024 * 1024 } }
      const failing = await open("sessions", { backend: redis.url, ...down })
      const work = [busy, failing].map((store, index) => keepBusy(store, 10 + index * 7, stop.signal))
      await sleep(SECONDS * 1_000)

      await page.setViewportSize(WIDE)
      await page.getByRole("link", { name: "documents" }).click()
      await page.screenshot(picture("busy"))
      await page.emulateMedia({ colorScheme: "dark" })
      await page.getByRole("link", { name: "sessions", exact: true }).click()
      await page.screenshot(picture("dark"))
      await page.emulateMedia({ colorScheme: "light" })
      await page.setViewportSize({ width: 390, height: 844 })
      await page.evaluate("scrollTo(0, 0)")
      await sleep(2_500)
      await page.screenshot(picture("phone"))

      const slow = await open("prices", { backend: later(320), l1: small })
      work.push(keepBusy(slow, 12, stop.signal))
      const names = ["basket", "catalogue", "flags", "geo", "limits", "locks", "profiles", "search", "texts"]
      for (const [index, name] of names.entries()) {
        const store = await open(name, { backend: "memory:", l1: { maxEntries: 1_500 + 400 * index } })
        if (name !== "locks") work.push(keepBusy(store, 8 + index, stop.signal, 250))
      }
      await sleep((SECONDS * 1_000) / 3)
      await page.setViewportSize(WIDE)
      await page.getByRole("link", { name: "prices" }).click()
      await sleep(2_500)
      await page.screenshot(picture("slow"))
      await redis.halt()
      await sleep(Math.min(20_000, SECONDS * 1_000))
      await page.getByText("1 store failing").waitFor()
      await page.screenshot(picture("twelve-stores"))
      await page.getByRole("link", { name: "sessions", exact: true }).click()
      await page.evaluate("document.querySelector('.store').scrollIntoView()")
      await sleep(2_500)
      await page.screenshot(picture("failing"))

      stop.abort()
      await Promise.all(work)
      await redis.restart()
      await page.close()
      expect(stop.signal.aborted).toBe(true)
    })
  })
}

/** A store in memory whose reads take so many milliseconds, some twice as long. */
function later(ms: number): Backend {
  const inner = remoteMemory()
  const wait = () => sleep(ms * (1 + Math.random() ** 6))
  return {
    ...forward(inner, {
      get: (key) => wait().then(() => inner.get(key)),
      getMany: (keys) => wait().then(() => inner.getMany(keys)),
    }),
  }
}

/** Skewed reads, some writes, some loads; more and less of them in waves of so many seconds. */
async function keepBusy(store: Kv, waveSeconds: number, signal: AbortSignal, pauseMs = 4): Promise<void> {
  const keys = 3_000
  for (let key = 0; key < keys; key += 500) {
    const entries = Array.from(
      { length: 500 },
      (_, index) => [`k${key + index}`, "x".repeat(200 + index)] as const,
    )
    // The machine that takes the pictures may be busy.
    await store.setMany(entries).catch(() => store.setMany(entries))
  }
  const startedAt = performance.now()
  while (!signal.aborted) {
    const wave = Math.sin(((performance.now() - startedAt) / 1_000 / waveSeconds) * Math.PI)
    const calls = Array.from({ length: Math.round(14 + 8 * wave + 3 * Math.random()) }, () => {
      const key = Math.floor(keys * 1.05 * Math.random() ** 5)
      const chance = Math.random()
      if (chance < 0.04) return store.set(`k${key}`, "y".repeat(300))
      if (chance < 0.1) {
        return store.getOrSet(`page:${key % 400}`, () => sleep(3).then(() => ({ key })), { ttlMs: 8_000 })
      }
      return store.get(`k${key}`)
    })
    await Promise.allSettled(calls)
    await sleep(pauseMs)
  }
}
