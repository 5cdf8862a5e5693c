import { beforeAll, describe, expect, test } from "vitest"
import manifest from "../../package.json" with { type: "json" }
import { reportServer } from "../servers/report.ts"
import { roundsOf } from "./floors.ts"
import { type Project, projectWith } from "./project.ts"

/** The folder of tests that run over each peer; `undefined` for a peer whose service has no server to test against. */
const TESTS: Readonly<Record<string, string | undefined>> = {
  "@aws-sdk/client-dynamodb": "test/tiers/dynamodb",
  "@azure/data-tables": "test/tiers/azure-tables",
  "@azure/identity": undefined,
  "@google-cloud/firestore": "test/tiers/firestore",
  "@opentelemetry/api": "test/telemetry/copies.test.ts",
  ioredis: "test/tiers/redis",
}

test("every peer is tested", () => {
  expect(Object.keys(TESTS).sort()).toEqual(Object.keys(manifest.peerDependencies).sort())
})

for (const [round, releases] of roundsOf(manifest.peerDependencies).entries()) {
  // The names of the peers are those of the tests, so that `-t` can choose one.
  describe(`the lowest releases of alternative ${round + 1}`, () => {
    let project: Project
    beforeAll(async () => {
      project = await projectWith(releases)
      return () => project.remove()
    })

    test("a program that passes clients in compiles", async () => {
      await project.compile()
    })

    for (const [peer, release] of Object.entries(releases)) {
      const tests = TESTS[peer]
      if (tests === undefined) {
        test(`${peer} ${release} is loaded; there is no server to test it against`, async () => {
          expect(await project.releaseOf(peer)).toBe(release)
          await project.load(peer)
          reportServer({
            backend: peer,
            server: release,
            note: "compiled against and loaded, without a server",
          })
        })
        continue
      }
      test(`${peer} ${release} passes ${tests}`, async () => {
        expect(await project.releaseOf(peer)).toBe(release)
        const { passed, skipped, failed, output } = await project.test(tests)
        console.log(output)
        const note = `${passed} passed, ${failed.length} failed, ${skipped.length} skipped`
        reportServer({ backend: peer, server: release, note })
        expect(failed).toEqual([])
        expect(passed).toBeGreaterThan(0)
      })
    }
  })
}
