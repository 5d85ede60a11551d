import { isIP, isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Range = readonly [Address, number]

/** A range of addresses in canonical form, or what is wrong with the text. */
export type ParsedCidr = { readonly cidr: string } | { readonly fault: string }

const example = 'such as 192.0.2.0/24, 2001:db8::/32 or one address'

/** Reads `192.0.2.0/24`, `2001:db8::/32` or an address alone, which is a range of one. An IPv4-mapped IPv6 address counts as IPv4. */
export function parseCidr (text: string): ParsedCidr {
  const [address = '', bits, ...rest] = text.split('/')
  // The library also reads octal, hexadecimal and shortened forms. People who type these rarely mean them.
  if (isIP(address) === 0 || address.includes('%') || rest.length > 0) return { fault: `Must be an address or a CIDR range, ${example}.` }
  const longest = isIPv4(address) ? 32 : 128
  if (bits !== undefined && (!/^(0|[1-9]\d{0,2})$/.test(bits) || Number(bits) > longest)) return { fault: `Must have 0 to ${longest} bits after the slash.` }
  const parsed = ipaddr.parse(written(address))
  const isMapped = parsed instanceof ipaddr.IPv6 && parsed.isIPv4MappedAddress()
  const length = (bits === undefined ? longest : Number(bits)) - (isMapped ? 96 : 0)
  if (length < 0) return { fault: 'Must have 96 bits or more after the slash: it is a range of IPv4 addresses written as IPv6.' }
  const plain = isMapped ? (parsed as ipaddr.IPv6).toIPv4Address() : parsed
  const network = networkOf(plain, length)
  if (network !== plain.toString()) return { fault: `Has bits set beyond the first ${length}. Write ${network}/${length}, or a longer prefix.` }
  return { cidr: `${network}/${length}` }
}

/** The library takes `::192.0.2.1`, an IPv6 address (RFC 4291, section 2.5.5.1, deprecated), for the mapped `::ffff:192.0.2.1`, but not the same address in hexadecimal. */
function written (address: string): string {
  return address.replace(/^::(?=\d+\.)/, '0:0:0:0:0:0:').replace(/%.*$/, '')
}

function networkOf (address: Address, length: number): string {
  const bytes = address.toByteArray().map((byte, i) => byte & 0xFF << Math.min(8, Math.max(0, 8 - (length - i * 8))))
  return ipaddr.fromByteArray(bytes).toString()
}

const known = new WeakMap<readonly string[], readonly Range[]>()

/** Whether `address` is in one of the ranges, which are in canonical form. An unknown or invalid address is in no range. */
export function isAllowed (address: string | undefined, cidrs: readonly string[]): boolean {
  if (address === undefined || isIP(address) === 0) return false
  let ranges = known.get(cidrs)
  if (ranges === undefined) known.set(cidrs, ranges = cidrs.map((cidr) => ipaddr.parseCIDR(cidr)))
  const parsed = ipaddr.process(written(address))
  return ranges.some(([network, length]) => network.kind() === parsed.kind() && parsed.match(network as never, length))
}

/** Whether an address is public: not loopback, not of a private network, not reserved. */
export function isPublic (address: string): boolean {
  return isIP(address) !== 0 && !isCompatible(address) && ipaddr.process(written(address)).range() === 'unicast'
}

// Of ::/96: what stands in it may lead to the IPv4 address that is its end.
function isCompatible (address: string): boolean {
  const parsed = ipaddr.parse(written(address))
  return parsed instanceof ipaddr.IPv6 && parsed.match(ipaddr.IPv6.parse('::'), 96)
}

/** Whether an address is loopback. */
export function isLoopback (address: string): boolean {
  return isIP(address) !== 0 && ipaddr.process(written(address)).range() === 'loopback'
}
