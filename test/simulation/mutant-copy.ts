import { copyFile, mkdir, readdir, symlink, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const ROOT = fileURLToPath(new URL("../..", import.meta.url))

/** What is copied whole: a file that is linked imports the project's own files, not the edited ones. */
const COPIED = ["src", "tiers/l1", "tiers/wrappers"]

/**
 * Makes `folder` a copy of the project in which the files of `edited`, path → text, are other ones. The folders in {@link COPIED} are
 * copied, and of `tiers/` the edited files; the rest is linked, so that errors, backends and the tests' own imports stay the very same
 * modules.
 */
export async function copyProject(folder: string, edited: ReadonlyMap<string, string>): Promise<void> {
  await copyFolder(folder, "src", edited)
  await copyFolder(folder, "tiers", edited)
  for (const linked of ["telemetry", "node_modules"]) await symlink(join(ROOT, linked), join(folder, linked))
  for (const [path, text] of edited) await writeNew(join(folder, path), text)
}

async function copyFolder(folder: string, place: string, edited: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(join(folder, place))
  for (const entry of await readdir(join(ROOT, place), { withFileTypes: true })) {
    const path = `${place}/${entry.name}`
    const from = join(ROOT, path)
    if (edited.has(path)) continue
    const isCopied = COPIED.some((copied) => `${path}/`.startsWith(`${copied}/`))
    const isEdited = [...edited.keys()].some((file) => file.startsWith(`${path}/`))
    if (entry.isDirectory() && (isCopied || isEdited)) await copyFolder(folder, path, edited)
    else if (isCopied) await copyFile(from, join(folder, path))
    else await symlink(from, join(folder, path))
  }
}

/** Writes a file that is not there yet. Rejects if one is, or a link: written through it, the project itself would change. */
export async function writeNew(path: string, text: string): Promise<void> {
  await writeFile(path, text, { flag: "wx" })
}
