import { acceptedSource } from '../core/accepted-prefixes.ts'

const redacted = '[redacted]'

interface ScrubberOptions {
  readonly tokenPrefix: string
  /** Other prefixes of tokens. None. */
  readonly tokenPrefixesAccepted?: readonly string[]
  /** Texts that must never appear: management and service secrets. */
  readonly secrets: readonly string[]
  /** URLs whose passwords must never appear. */
  readonly urls?: ReadonlyArray<string | undefined>
}

/**
 * Knows secrets by value: anything shaped like a token and every configured secret, wherever in a text they stand, also where the
 * underscore is percent-encoded or escaped as JSON does.
 */
export class Scrubber {
  readonly #anything: RegExp
  readonly #configured: RegExp | undefined

  constructor ({ tokenPrefix, tokenPrefixesAccepted = [], secrets, urls = [] }: ScrubberOptions) {
    const spellings = [...secrets, ...urls.flatMap(passwordsOf)].filter((secret) => secret !== '').flatMap(spellingsOf)
    const configured = [...new Set(spellings)].sort((a, b) => b.length - a.length).map(escaped)
    const token = `${escaped(tokenPrefix.slice(0, -1))}(?:_|%(?:25)*5[fF]|\\\\+u005[fF])[0-9A-Za-z]{38}`
    const accepted = tokenPrefixesAccepted.length === 0 ? [] : [acceptedSource(tokenPrefixesAccepted, spelling, '%\\\\')]
    this.#anything = new RegExp([...configured, token, ...accepted, '(?<=://[^\\s:/@"]*:)[^\\s/@"]+(?=@)'].join('|'), 'g')
    this.#configured = configured.length === 0 ? undefined : new RegExp(configured.join('|'))
  }

  scrub (text: string): string {
    return text.replace(this.#anything, redacted)
  }

  /** Whether there is anything in `text` that must not be seen. */
  finds (text: string): boolean {
    return text.search(this.#anything) !== -1
  }

  /** Whether there is a configured secret in `text`. */
  findsSecret (text: string): boolean {
    return this.#configured?.test(text) === true
  }
}

/** A beginning, each sign of it as it is, percent-encoded or escaped as JSON does. */
function spelling (beginning: string): string {
  return beginning.replace(/[^A-Za-z0-9]/g, (sign) => {
    const hex = [...sign.charCodeAt(0).toString(16)].map((digit) => /[a-f]/.test(digit) ? `[${digit}${digit.toUpperCase()}]` : digit).join('')
    return `(?:${escaped(sign)}|%(?:25)*${hex}|\\\\+u00${hex})`
  })
}

function spellingsOf (secret: string): string[] {
  return [secret, encodeURIComponent(secret), JSON.stringify(secret).slice(1, -1)]
}

function passwordsOf (url = ''): string[] {
  // Not parsed with URL, which cannot read several hosts.
  const found = [/^[a-z+]+:\/\/[^:@/?#]*:([^@/?#]*)@/i.exec(url)?.[1], /[?&]sentinel_password=([^&#]*)/.exec(url)?.[1]]
  return found.flatMap((password = '') => {
    // Short ones are words that logs are full of, and where they stand in a URL they are known by their place.
    if (password.length < 8) return []
    try {
      return [password, decodeURIComponent(password)]
    } catch {
      return [password]
    }
  })
}

function escaped (text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}
