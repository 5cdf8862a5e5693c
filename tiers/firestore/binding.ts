import type { BackendDescription, Refuse } from "../binding.ts"
import { MAX_CHANNELS } from "./channel-limit.ts"

interface FirestorePlace {
  projectId: string
  databaseId: string
  collection: string
  endpoint?: string
  channels?: number
}

export const firestoreDescription: BackendDescription<FirestorePlace> = {
  kind: "firestore",
  url: {
    forms: { firestore: "firestore://PROJECT/DATABASE/COLLECTION" },
    read({ place, refuse }) {
      const { channels, ...rest } = place(["projectId", "databaseId", "collection"], ["endpoint", "channels"])
      return channels === undefined ? rest : { ...rest, channels: toChannels(channels, refuse) }
    },
  },
  alien: {
    service: "firestore",
    read: (fields) =>
      fields.texts({ projectId: "projectId", databaseId: "databaseId", collectionName: "collection" }),
  },
  async make({ collection, ...settings }, { runtime, timeoutMs }) {
    const { firestore } = await import("./backend.ts")
    return firestore(settings, { collection, runtime, requestTimeoutMs: timeoutMs })
  },
}

function toChannels(text: string, refuse: Refuse): number {
  const channels = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (channels >= 1 && channels <= MAX_CHANNELS) return channels
  throw refuse(`has a parameter "channels" that is not a whole number from 1 to ${MAX_CHANNELS}`)
}
