import { rmSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

export interface TemporaryDirectory {
  readonly path: string
  remove(): Promise<void>
}

/** Makes a temporary directory that is removed when the process exits, unless it was removed before. */
export async function temporaryDirectory(prefix: string): Promise<TemporaryDirectory> {
  const path = await mkdtemp(join(tmpdir(), prefix))
  const removeNow = () => rmSync(path, { recursive: true, force: true })
  process.on("exit", removeNow)
  return {
    path,
    async remove() {
      process.off("exit", removeNow)
      await rm(path, { recursive: true, force: true })
    },
  }
}
