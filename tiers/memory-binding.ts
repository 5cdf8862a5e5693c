import type { BackendDescription } from "./binding.ts"

export const memoryDescription: BackendDescription<Record<never, never>> = {
  kind: "memory",
  url: {
    forms: { memory: "memory:" },
    read: ({ text }) => (text.length === "memory:".length ? {} : undefined),
  },
  async make(_settings, { runtime }) {
    const { memory } = await import("./memory.ts")
    return memory({ runtime })
  },
}
