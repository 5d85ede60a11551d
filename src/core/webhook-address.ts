import { isIP } from 'node:net'
import { isAllowed, isLoopback, isPublic } from './addresses.ts'

/** What is wrong with the text of a webhook URL; `undefined`: nothing. */
export function faultOfWebhookUrl (text: string, allowedCidrs: readonly string[]): string | undefined {
  if (!URL.canParse(text)) return 'must be a URL such as https://example.com/hooks.'
  const url = new URL(text)
  if (url.username !== '' || url.password !== '') return 'must not contain a user or a password. Events are signed: verify their signature instead.'
  if (url.hash !== '') return 'must not have a fragment (#).'
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && namesLoopback(url))) return 'must be https:, or http: on this machine (localhost, 127.0.0.1, [::1]).'
  const address = addressOf(url)
  return address === undefined || mayReach(url, address, allowedCidrs)
    ? undefined
    : 'is a private address. To allow it, add its range to WEBHOOK_ALLOWED_CIDRS.'
}

/** Whether a delivery to `url` may connect to `address`: for a loopback URL only loopback, else public addresses and the allowed ranges. */
export function mayReach (url: URL, address: string, allowedCidrs: readonly string[]): boolean {
  return namesLoopback(url) ? isLoopback(address) : isPublic(address) || isAllowed(address, allowedCidrs)
}

/** The address that a URL contains instead of a host name. */
export function addressOf ({ hostname }: URL): string | undefined {
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  return isIP(host) === 0 ? undefined : host
}

function namesLoopback (url: URL): boolean {
  const address = addressOf(url)
  return url.hostname === 'localhost' || (address !== undefined && isLoopback(address))
}
