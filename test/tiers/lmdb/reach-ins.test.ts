import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import * as lmdb from "lmdb"
import { afterEach, beforeEach, describe, expect, test } from "vitest"
import { holderOf } from "../../../tiers/lmdb/write-lock.ts"
import { shell } from "../../support/built.ts"
import { changed } from "../../support/canary.ts"
import { testWith } from "../../support/commands.ts"

describe("lmdb", () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "tiered-kv-reach-ins-"))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  test("reads through a transaction that nativeAddon.resetTxn gives back", async () => {
    expect(lmdb, changed("lmdb's nativeAddon.resetTxn")).toHaveProperty(
      "nativeAddon.resetTxn",
      expect.any(Function),
    )
    const { resetTxn }: { resetTxn(address: number): void } = Reflect.get(lmdb, "nativeAddon")
    const db = lmdb.open<Buffer, string>({ path: directory, noSubdir: false, encoding: "binary" })
    const transaction = db.useReadTransaction()
    db.resetReadTxn()
    expect(transaction, changed("lmdb's transaction.address")).toHaveProperty("address", expect.any(Number))
    const address: number = Reflect.get(transaction, "address")
    const lender: { getBinaryFast(key: string, options: object): Buffer | undefined } = db
    const read = () => lender.getBinaryFast("key", { transaction })?.toString()

    await db.put("key", Buffer.from("first"))
    resetTxn(address)
    expect(read()).toBe("first")
    await db.put("key", Buffer.from("second"))
    expect(read(), changed("the option `transaction` of lmdb's getBinaryFast")).toBe("first")
    resetTxn(address)
    expect(read(), changed("lmdb's nativeAddon.resetTxn")).toBe("second")
    transaction.done()
    await db.close()
  })

  test("begins a read transaction with nativeAddon.Txn", async () => {
    expect(lmdb, changed("lmdb's nativeAddon.Txn")).toHaveProperty("nativeAddon.Txn", expect.any(Function))
    const db = lmdb.open<Buffer, string>({ path: directory, noSubdir: false, encoding: "binary" })
    expect(db, changed("lmdb's env")).toHaveProperty("env")
    const { Txn } = Reflect.get(lmdb, "nativeAddon")
    const readers = () => db.readerList().split("\n").length
    const before = readers()
    const transaction = new Txn(Reflect.get(db, "env"), 0x20000)
    expect(readers(), changed("lmdb's nativeAddon.Txn")).toBeGreaterThan(before)
    transaction.abort()
    await db.close()
  })

  test.runIf(process.platform === "linux")(
    "has the mutex of writers where its lock file is read",
    async () => {
      const db = lmdb.open<Buffer, string>({ path: directory, noSubdir: false, encoding: "binary" })
      const layout = changed("the layout of LMDB's lock file")
      expect(holderOf(directory), layout).toBeUndefined()
      db.transactionSync(() =>
        expect(holderOf(directory), layout).toMatch(new RegExp(`^${process.pid} \\d+$`)),
      )
      expect(holderOf(directory), layout).toBeUndefined()
      await db.close()
    },
  )

  testWith(["bash"], "gives the reason of a failed commit as commitError", async () => {
    const program = `
      import { open } from "lmdb"
      const db = open({ path: ${JSON.stringify(directory)}, noSubdir: false, eventTurnBatching: false })
      try {
        for (;;) await db.transaction(() => void db.putSync(Math.random(), Buffer.alloc(100_000)))
      } catch (error) {
        console.log(await error.commitError?.catch(({ code }) => typeof code))
        process.exit()
      }`
    const limited = `trap '' XFSZ; ulimit -f 1500; "${process.execPath}" --input-type=module -e "$PROGRAM"`
    const { stdout } = await shell(limited, fileURLToPath(new URL("../../..", import.meta.url)), {
      PROGRAM: program,
    })
    expect(stdout, changed("lmdb's commitError")).toBe("number\n")
  })
})
