/*
 * https://app.example.com     this origin
 * http://localhost:*          this host, with every port and with none
 * vscode-webview://*          every host, for schemes that only programs use
 */
const pattern = /^([a-z][a-z0-9+.-]*):\/\/(\*|\[[0-9a-f:]+\]|[a-z0-9_.-]+)(:\*|:[0-9]{1,5})?$/i

/** Whether `text` is a valid entry of the list of origins. A wildcard host under http: or https: is not: it would allow every page of the web. */
export function isOriginPattern (text: string): boolean {
  const [, scheme = '', host, port] = pattern.exec(text) ?? []
  if (host === undefined) return false
  const isWeb = /^https?$/i.test(scheme)
  if (host === '*') return !isWeb && port === undefined
  // It must be spelled as browsers send it, otherwise it would never match.
  return !isWeb || port === ':*' || (URL.canParse(text) && new URL(text).origin === text)
}

/** Whether an origin as a browser sends it is among `patterns`, which are in lower case. */
export function fitsOrigin (origin: string, patterns: readonly string[]): boolean {
  const presented = origin.toLowerCase()
  const [, scheme = '', host = ''] = pattern.exec(presented) ?? []
  if (host === '' || host === '*') return false
  return patterns.some((allowed) => allowed === presented || allowed === `${scheme}://${host}:*` || allowed === `${scheme}://*`)
}
