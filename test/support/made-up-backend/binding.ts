import type { BackendDescription } from "../../../tiers/binding.ts"
import type { MadeUpSettings } from "./backend.ts"

export const madeUpDescription: BackendDescription<MadeUpSettings> = {
  kind: "made-up",
  url: {
    forms: { "made-up": "made-up://ROOM/SHELF" },
    read: (url) => url.place(["room", "shelf"], []),
  },
  alien: {
    service: "shelves",
    read: (fields) => fields.texts({ shelfName: "shelf" }, { roomName: "room" }),
  },
  async make(settings, { runtime }) {
    const { madeUp } = await import("./backend.ts")
    return madeUp(settings, { runtime })
  },
}
