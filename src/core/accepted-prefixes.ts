/** How the token of another system may begin, or ours under a former prefix: characters of RFC 6750's b64token. */
export const acceptedPrefix = /^[A-Za-z0-9._~+/-]{2,64}$/

/** Characters of a token without a checksum of ours, at least. */
export const foreignLengthMin = 16

/** The source of an expression that finds tokens with these beginnings in a text. `spell` writes a beginning as it may stand there; `more` are further characters that may. */
export function acceptedSource (accepted: readonly string[], spell: (beginning: string) => string = literally, more = ''): string {
  return accepted.map((beginning) => `${spell(beginning)}[A-Za-z0-9._~+/=${more}-]{${Math.max(foreignLengthMin - beginning.length, 1)},}`).join('|')
}

function literally (beginning: string): string {
  return beginning.replace(/[.+]/g, '\\$&')
}
