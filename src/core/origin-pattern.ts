/*
 * https://app.example.com     this origin
 * http://localhost:*          this host, with every port and with none
 * vscode-webview://*          every host, for schemes that only programs use
 */
const pattern = /^([a-z][a-z0-9+.-]*):\/\/(\*|\[[0-9a-f:]+\]|[a-z0-9_.-]+)(:\*|:[0-9]{1,5})?$/i

/** Whether `text` may stand in the list of origins. Every host of the web would be every page there is. */
export function isOriginPattern (text: string): boolean {
  const [, scheme = '', host, port] = pattern.exec(text) ?? []
  if (host === undefined) return false
  const isWeb = /^https?$/i.test(scheme)
  if (host === '*') return !isWeb && port === undefined
  // Written as a browser sends it, or it would never fit.
  return !isWeb || port === ':*' || (URL.canParse(text) && new URL(text).origin === text)
}

/** Whether an origin as a browser sends it is among `patterns`, which are in lower case. */
export function fitsOrigin (origin: string, patterns: readonly string[]): boolean {
  const presented = origin.toLowerCase()
  const [, scheme = '', host = ''] = pattern.exec(presented) ?? []
  if (host === '' || host === '*') return false
  return patterns.some((allowed) => allowed === presented || allowed === `${scheme}://${host}:*` || allowed === `${scheme}://*`)
}
