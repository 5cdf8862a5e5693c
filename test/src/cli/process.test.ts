import { randomBytes } from "node:crypto"
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect } from "vitest"
import { type Built, build, shell } from "../../support/built.ts"
import { testWith } from "../../support/commands.ts"

/** The command line as from a shell: a real process, real pipes, the default store. */

let built: Built
let cwd: string
beforeAll(async () => {
  built = await build()
  cwd = join(built.folder, "work")
  await mkdir(cwd)
})
afterAll(() => built.remove())

/** `kv` in the command line stands for the built command. */
function sh(commandLine: string, environment: NodeJS.ProcessEnv = {}) {
  return shell(`kv() { "$NODE" "$CLI" "$@"; }; ${commandLine}`, cwd, {
    NODE: process.execPath,
    CLI: built.file("src/cli/main.js"),
    NODE_ENV: "test",
    ...environment,
  })
}

describe("in a shell", () => {
  testWith(
    ["bash", "cat"],
    "values go through pipes byte for byte, into .kv/cache of the working directory",
    async () => {
      const value = randomBytes(20_000)
      await writeFile(join(cwd, "in"), value)
      const command =
        "kv set blob < in && kv get blob > redirected && cat in | kv set b2 - && kv get b2 | cat > piped"
      expect(await sh(command)).toMatchObject({ code: 0, stdout: "", stderr: "" })
      expect(value.equals(await readFile(join(cwd, "redirected")))).toBe(true)
      expect(value.equals(await readFile(join(cwd, "piped")))).toBe(true)
      expect(await readdir(join(cwd, ".kv"))).toContain("cache")
    },
  )

  testWith(["bash"], "the variable of another store's name opens that store", async () => {
    const environment = { KV_SESSIONS_URL: `lmdb:${join(cwd, "elsewhere")}` }
    expect((await sh("kv set -n sessions s 1 && kv get -n sessions s", environment)).stdout).toBe("1")
    expect((await sh("kv get s")).code).toBe(1)
  })

  testWith(
    ["bash"],
    "the exit code is 0, or 1 for an absent key or a refused write, 2 for wrong use, 3 for an outage",
    async () => {
      const codes =
        "kv exists no; echo $?; kv set k v; echo $?; kv set k w --if-not-exists; echo $?; kv get a/b; echo $?"
      const { stdout } = await sh(`{ ${codes}; } 2>/dev/null`)
      expect(stdout).toBe("false\n1\n0\n1\n2\n")
      expect((await sh("kv get k", { KV_CACHE_URL: "redis://127.0.0.1:1/0" })).code).toBe(3)
    },
  )

  testWith(["bash"], "a production process without a binding is told which variables to set", async () => {
    const { code, stderr } = await sh("kv get k", { NODE_ENV: "production" })
    expect(code).toBe(2)
    expect(stderr).toContain("KV_CACHE_URL")
  })

  testWith(["bash", "head", "tr"], "head ends a scan safely", async () => {
    const fill = "for i in 1 2 3; do head -c 20000 /dev/zero | tr '\\0' x | kv set big:$i; done"
    expect(await sh(`${fill}; kv scan big: | head -c 10; kv scan big: | true`)).toMatchObject({
      stdout: "big:1\txxxx",
      stderr: "",
    })
  })

  testWith(["bash"], "replay reads gzip from a pipe", async () => {
    const { stdout } = await sh(
      "printf 'a\\nb\\na\\n' | \"$NODE\" -e 'process.stdin.pipe(zlib.createGzip()).pipe(process.stdout)' | kv replay - --json",
    )
    expect(JSON.parse(stdout).l1.hits).toBe(1)
  })

  testWith(
    ["bash", "mkdir", "sleep", "yes"],
    "Ctrl-C ends a replay with the report so far, and its directory is removed",
    async () => {
      const commands = [
        "mkdir tmp && export TMPDIR=$PWD/tmp",
        '"$NODE" "$CLI" replay - --json < <(yes a) & P=$!',
        "until [ -e tmp/tiered-kv-replay-*/store ]; do kill -0 $P || exit 9; sleep 0.02; done; kill -INT $P",
        'wait $P; echo "code $?"',
      ]
      const { stdout } = await sh(commands.join("\n"))
      expect(JSON.parse(stdout.split("\n")[0] ?? "").log.interrupted).toBe(true)
      expect(stdout).toContain("code 130")
      expect(await readdir(join(cwd, "tmp"))).toEqual([])
    },
  )
})
