import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { exactTime, relativeTime } from './times.ts'

/** A known use of a token. */
export interface TokenUse {
  readonly at: number
  readonly address: string | null
  readonly client: string | null
}

interface FirstUseView {
  readonly use: TokenUse | undefined
  readonly now: number
  /** The URL from which the script fetches whether the token was used. */
  readonly askAt: string
  /** The page that shows the use to people without scripts; `undefined`: this page. */
  readonly lookAt?: string
  /** Whether the key had another token before. */
  readonly isRotated?: boolean
}

/** Shows the first use of a token. A script updates it; without scripts, a reload does. */
export function firstUse ({ use, now, askAt, lookAt, isRotated = false }: FirstUseView): Html {
  const look = lookAt === undefined
    ? 'Reload the page to check again.'
    : html`<a href="${lookAt}" target="_blank" rel="noopener">Check whether it was used</a> (opens in a new tab).`
  return html`<div class="first-use${use !== undefined && ' used'}" role="status"${use === undefined && html` data-first-use="${askAt}"`}>
          <span class="spinner"></span>${icon('check')}
          <div><p data-says>${use === undefined ? `Waiting for ${isRotated ? 'the first use of the new token' : 'its first use'}…` : useText(use, now)}</p>${use === undefined && html`<p class="fine" data-look>${look}</p>`}</div>
        </div>`
}

export function useText ({ at, address, client }: TokenUse, now: number): string {
  return `It works: used ${relativeTime(at, now)}${client === null ? '' : `, by ${client}`}${address === null ? '' : `, from ${address}`} (${exactTime(at)}).`
}
