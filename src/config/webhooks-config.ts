import { parseCidr } from '../core/addresses.ts'
import { faultOfWebhookUrl } from '../core/webhook-address.ts'
import { partsOf } from './parts-of.ts'
import type { Settings } from './settings.ts'

/** The receivers of events. */
export interface WebhooksConfig {
  readonly urls: readonly string[]
  readonly secrets: readonly string[]
  /** In canonical form. */
  readonly allowedCidrs: readonly string[]
}

const secret = /^whsec_((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)$/
const bytesMin = 24
const bytesMax = 64

/** Reads the settings of webhooks; a fault names an entry by its place and never shows it. */
export function readWebhooksConfig (values: Settings): { webhooks?: WebhooksConfig, faults: readonly string[] } {
  const faults: string[] = []
  const urls = partsOf(values.WEBHOOK_URLS)
  const secrets = partsOf(values.WEBHOOK_SECRETS)
  const allowedCidrs = partsOf(values.WEBHOOK_ALLOWED_CIDRS).flatMap((text, i) => {
    const parsed = parseCidr(text)
    if ('cidr' in parsed) return [parsed.cidr]
    faults.push(`WEBHOOK_ALLOWED_CIDRS: entry ${i + 1}: ${parsed.fault}`)
    return []
  })
  for (const [i, url] of urls.entries()) {
    const fault = faultOfWebhookUrl(url, allowedCidrs)
    if (fault !== undefined) faults.push(`WEBHOOK_URLS: entry ${i + 1} ${fault}`)
    else if (urls.slice(0, i).some((earlier) => URL.canParse(earlier) && new URL(earlier).href === new URL(url).href)) faults.push(`WEBHOOK_URLS: entry ${i + 1} occurs twice.`)
  }
  for (const [i, text] of secrets.entries()) {
    const bytes = Buffer.from(secret.exec(text)?.[1] ?? '', 'base64').length
    if (bytes < bytesMin || bytes > bytesMax) faults.push(`WEBHOOK_SECRETS: entry ${i + 1} must be whsec_ and the base64 of ${bytesMin} to ${bytesMax} bytes, such as \`echo "whsec_$(openssl rand -base64 32)"\` prints.`)
  }
  if (urls.length > 0 && secrets.length === 0) faults.push('WEBHOOK_SECRETS is needed with WEBHOOK_URLS: events are signed. Set it to what `echo "whsec_$(openssl rand -base64 32)"` prints.')
  if (urls.length === 0 && secrets.length > 0) faults.push('WEBHOOK_URLS is needed with WEBHOOK_SECRETS: set it to the URLs that events are sent to, or unset both.')
  return { ...urls.length > 0 && { webhooks: { urls, secrets, allowedCidrs } }, faults }
}

// Some receivers identify a caller only by the path of the URL, so the path is a secret.
const pathMin = 20

/** The parts that must never appear in a log. */
export function webhookSecrets ({ urls, secrets }: WebhooksConfig): string[] {
  const paths = urls.map((url) => new URL(url)).map(({ pathname, search }) => pathname + search).filter((path) => path.length >= pathMin)
  return [...secrets.flatMap((text) => [text, text.slice('whsec_'.length)]), ...paths]
}
