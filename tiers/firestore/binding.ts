import type { BackendDescription } from "../binding.ts"

interface FirestorePlace {
  projectId: string
  databaseId: string
  collection: string
  endpoint?: string
}

export const firestoreDescription: BackendDescription<FirestorePlace> = {
  kind: "firestore",
  url: {
    forms: { firestore: "firestore://PROJECT/DATABASE/COLLECTION" },
    read: (url) => url.place(["projectId", "databaseId", "collection"], ["endpoint"]),
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
