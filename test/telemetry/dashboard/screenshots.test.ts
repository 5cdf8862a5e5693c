import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { expect, onTestFinished, test } from "vitest"
import type { Kv } from "../../../src/api.ts"
import { kv } from "../../../src/kv.ts"
import { dashboard } from "../../../telemetry/dashboard/handler.ts"
import { startRedisServer } from "../../servers/redis.ts"
import { freePort } from "../../servers/server.ts"
import { requireBrowser } from "../../support/browser.ts"
import { serveDashboard } from "../../support/dashboard-fixture.ts"

/**
 * Takes the pictures of the documentation, in some minutes: the real page over a real Redis and a real LMDB, which work.
 * `SCREENSHOTS=docs/images npx vitest run test/telemetry/dashboard/screenshots.test.ts`
 */
const FOLDER = process.env.SCREENSHOTS
/** How long the stores work before the pictures are taken, s. */
const SECONDS = Number(process.env.SCREENSHOT_SECONDS ?? 150)

if (FOLDER === undefined) {
  test.skip("pictures of the page are taken only where SCREENSHOTS names a folder for them", () => {})
} else {
  await requireBrowser((browser) => {
    const picture = (name: string) => ({ path: join(FOLDER, `dashboard-${name}.png`) })

    test("the pictures show the page empty, busy, dark, on a phone and failing", {
      timeout: 900_000,
    }, async () => {
      const redis = await startRedisServer()
      onTestFinished(() => redis.stop())
      const silent = `http://127.0.0.1:${await freePort()}/kv/`
      const url = await serveDashboard(dashboard({ name: "web-1" }))
      const trouble = await serveDashboard(dashboard({ name: "web-1", processes: [silent], timeoutMs: 500 }))

      const page = await browser.newPage({ viewport: { width: 1060, height: 420 } })
      await page.goto(url)
      await page.getByText("No store is open").waitFor()
      await page.screenshot(picture("empty"))

      const folder = mkdtempSync(join(tmpdir(), "shop-"))
      onTestFinished(() => rmSync(folder, { recursive: true }))
      const documents = await kv("documents", {
        backend: `lmdb:${join(folder, "documents")}`,
        l1: { maxEntries: 600, ttlMs: 20_000 },
      })
      const sessions = await kv("sessions", {
        backend: redis.url,
        timeoutMs: 1_000,
        l1: { maxEntries: 2_000, maxBytes: 1024 * 1024 },
      })
      const stop = new AbortController()
      const work = [documents, sessions].map((store, index) => keepBusy(store, 10 + index * 7, stop.signal))
      const failing = await browser.newPage({ viewport: { width: 1060, height: 720 } })
      await failing.goto(trouble)
      await sleep(SECONDS * 1_000)

      await page.setViewportSize({ width: 1060, height: 720 })
      await page.screenshot(picture("busy"))
      await page.emulateMedia({ colorScheme: "dark" })
      await page.evaluate("document.querySelectorAll('.store')[1].scrollIntoView()")
      await page.screenshot(picture("dark"))
      await page.emulateMedia({ colorScheme: "light" })
      await page.setViewportSize({ width: 360, height: 780 })
      await page.evaluate("scrollTo(0, 0)")
      await sleep(2_000)
      await page.screenshot(picture("phone"))

      await redis.halt()
      await sleep(15_000)
      await failing.getByText("1 store failing").waitFor()
      await failing.evaluate("document.querySelector('.store:not([data-state=failing])').hidden = true")
      await failing.screenshot(picture("failing"))

      stop.abort()
      await Promise.all(work)
      await redis.restart()
      await documents.close()
      await sessions.close()
      await page.close()
      await failing.close()
      expect(stop.signal.aborted).toBe(true)
    })
  })
}

/** Skewed reads, some writes, some loads; more and less of them in waves of so many seconds. */
async function keepBusy(store: Kv, waveSeconds: number, signal: AbortSignal): Promise<void> {
  const keys = 3_000
  for (let key = 0; key < keys; key += 500) {
    const entries = Array.from(
      { length: 500 },
      (_, index) => [`k${key + index}`, "x".repeat(200 + index)] as const,
    )
    await store.setMany(entries)
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
    await sleep(4)
  }
}
