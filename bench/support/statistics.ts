export interface Summary {
  readonly median: number
  readonly min: number
  readonly max: number
}

export function summaryOf (values: readonly number[]): Summary {
  if (values.length === 0) throw new Error('Nothing was measured.')
  const sorted = [...values].sort((a, b) => a - b)
  return { median: medianOf(sorted), min: sorted[0]!, max: sorted.at(-1)! }
}

export function medianOf (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** Element by element: what was measured in the same round belongs together. */
export function ratiosOf (values: readonly number[], beside: readonly number[]): Summary {
  return summaryOf(values.map((value, round) => value / beside[round]!))
}
