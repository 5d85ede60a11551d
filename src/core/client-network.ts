import { isIPv6 } from 'node:net'

/**
 * The network that a budget is counted for: an IPv4 address, or the /64 of an IPv6 address, because a client usually controls
 * its whole /64.
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
