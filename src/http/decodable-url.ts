/**
 * The URL of a request as the router gets it. Below `/forward-auth/` stands a path that a client chose for another application,
 * and one that does not decode, such as `/100%`, is for that one to judge; everywhere else it is refused.
 */
export function decodableUrl ({ url = '' }: { readonly url?: string | undefined }): string {
  if (!url.startsWith('/forward-auth/')) return url
  const end = url.indexOf('?')
  const path = end === -1 ? url : url.slice(0, end)
  return isDecodable(path) ? url : path.replaceAll('%', '%25') + url.slice(path.length)
}

function isDecodable (path: string): boolean {
  if (!path.includes('%')) return true
  try {
    decodeURIComponent(path)
    return true
  } catch {
    return false
  }
}
