import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/servers/table.ts", "test/support/sharing.ts"],
    testTimeout: 30_000,
    hookTimeout: 120_000,
    // A poll waits for an event; how long that takes is the machine's matter.
    expect: { poll: { timeout: 15_000 } },
    // The tests wait for servers more than they compute; the default leaves one processor unused.
    maxWorkers: "100%",
  },
})
