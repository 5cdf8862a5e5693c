import type { BackendDescription } from "./binding.ts"
import { memory } from "./memory.ts"

export const memoryDescription: BackendDescription<Record<never, never>> = {
  kind: "memory",
  url: {
    forms: { memory: "memory:" },
    read: ({ text }) => (text.length === "memory:".length ? {} : undefined),
  },
  make: async (_settings, { runtime }) => memory({ runtime }),
}
