import { partsOf } from './parts-of.ts'

/** A static credential and the name of its holder, which the audit trail shows. */
export interface NamedSecret {
  readonly name: string
  readonly secret: string
}

interface Parsed {
  readonly secrets: readonly NamedSecret[]
  /** The faults of the entries, without their values. */
  readonly faults: readonly string[]
}

const name = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
// Printable ASCII without space, quote, comma and backslash: it can be part of a header, of this list and of quoted text in a shell.
const secret = /^[!#-&(-+\--[\]-_a-~]{32,512}$/

interface Entry extends NamedSecret {
  readonly position: number
}

interface Rule {
  readonly say: string
  refuses (entry: Entry, earlier: readonly Entry[], tokenPrefixes: readonly string[]): boolean
}

const rules: readonly Rule[] = [
  {
    say: 'is not of the form name=secret, with a name of letters, digits, dots, dashes and underscores (64 at most).',
    refuses: (entry) => !name.test(entry.name) || entry.secret === ''
  },
  {
    say: 'has a secret that is too short or contains a space, quote, comma, backslash or non-ASCII character. Use 32 to 512 characters, such as `openssl rand -hex 32` prints.',
    refuses: (entry) => !secret.test(entry.secret)
  },
  {
    say: 'has a secret that looks like an API key: keys never manage keys. Use a secret such as `openssl rand -hex 32` prints.',
    refuses: (entry, _earlier, tokenPrefixes) => tokenPrefixes.some((prefix) => entry.secret.startsWith(prefix))
  },
  {
    say: 'has the same name as an earlier entry. Give each entry a different name.',
    refuses: (entry, earlier) => earlier.some(({ name }) => name === entry.name)
  }
]

/** Reads `name=secret,name=secret`, or one per line, as every list. Space around an entry is ignored; a secret may contain equals signs. */
export function parseNamedSecrets (text: string, { tokenPrefixes }: { tokenPrefixes: readonly string[] }): Parsed {
  const entries = partsOf(text).map(toEntry)
  const faults: string[] = []
  for (const [index, entry] of entries.entries()) {
    const broken = rules.find((rule) => rule.refuses(entry, entries.slice(0, index), tokenPrefixes))
    if (broken !== undefined) faults.push(`entry ${entry.position} ${broken.say}`)
  }
  return { secrets: entries.map(({ name, secret }) => ({ name, secret })), faults }
}

function toEntry (text: string, index: number): Entry {
  const [name = '', ...rest] = text.split('=')
  return { name, secret: rest.join('='), position: index + 1 }
}
