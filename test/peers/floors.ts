/** A release of each peer, by name. */
export type Releases = Readonly<Record<string, string>>

/** The lowest release of each alternative of a range: `^5.4.0 || ^6.0.0` has two. */
export function floorsOf(range: string): string[] {
  return range.split("||").map((alternative) => {
    const [, floor] = /^\s*\^(\d+\.\d+\.\d+)\s*$/.exec(alternative) ?? []
    if (floor === undefined) throw new Error(`the range ${range} is not made of ^MAJOR.MINOR.PATCH`)
    return floor
  })
}

/** The sets of releases to test: all peers at their lowest, then those that are left, as long as a range has a further alternative. */
export function roundsOf(ranges: Releases): Releases[] {
  const floors = Object.entries(ranges).map(([peer, range]) => [peer, floorsOf(range)] as const)
  const count = Math.max(...floors.map(([, of]) => of.length))
  return Array.from({ length: count }, (_, round) =>
    Object.fromEntries(floors.flatMap(([peer, of]) => (of[round] === undefined ? [] : [[peer, of[round]]]))),
  )
}
