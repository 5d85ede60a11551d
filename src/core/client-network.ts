import { isIPv6 } from 'node:net'

/**
 * Whom a budget is counted against: an IPv4 address itself; of an IPv6 address its /64, since whoever has one address
 * of such a network has all of them.
 */
export function clientNetwork (address: string): string {
  if (!address.includes(':')) return address
  const bare = address.split('%', 1)[0]!.toLowerCase()
  if (!isIPv6(bare)) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(bare)
  if (mapped !== null) return mapped[1]!
  return groupsOf(bare).slice(0, 4).join(':') + '::/64'
}

function groupsOf (address: string): string[] {
  const [head = '', tail] = address.split('::', 2)
  const before = split(head)
  if (tail === undefined) return before
  const after = split(tail)
  const missing = Math.max(0, 8 - before.length - after.length)
  return [...before, ...new Array<string>(missing).fill('0'), ...after]
}

// A dotted IPv4 tail stands for two groups; it never reaches the first four.
function split (groups: string): string[] {
  if (groups === '') return []
  return groups.split(':').flatMap((group) => group.includes('.') ? ['0', '0'] : [group.replace(/^0+(?=.)/, '')])
}
