const units = [{ unit: 'day', seconds: 86_400 }, { unit: 'hour', seconds: 3600 }, { unit: 'minute', seconds: 60 }] as const

/** The length of a grace, such as `1 day`, `90 minutes` or `no time`. */
export function graceText (seconds: number): string {
  if (seconds === 0) return 'no time'
  const found = units.find((one) => seconds % one.seconds === 0) ?? { unit: 'second', seconds: 1 }
  const number = seconds / found.seconds
  return `${number.toLocaleString('en')} ${found.unit}${number === 1 ? '' : 's'}`
}
