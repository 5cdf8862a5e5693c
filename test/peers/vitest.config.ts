import { defineConfig } from "vitest/config"

/** `npm run peers`: apart from the other tests, because it installs packages and runs tests of a copy of the project. */
export default defineConfig({
  test: { include: ["test/peers/peers.ts"], testTimeout: 900_000, hookTimeout: 900_000 },
})
