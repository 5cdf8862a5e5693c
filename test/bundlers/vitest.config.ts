import { defineConfig } from "vitest/config"

/** `npm run bundlers`: apart from the other tests, because it installs the bundlers, and webpack takes a minute. */
export default defineConfig({
  test: {
    include: ["test/bundlers/bundlers.ts"],
    globalSetup: ["test/servers/table.ts", "test/support/sharing.ts"],
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
})
