/** Which methods each route pattern knows. */
export type RouteMap = Map<string, Set<string>>

/** The methods of every route whose pattern fits the path of `url`. */
export function allowedMethods (routes: RouteMap, url: string): string[] {
  const path = url.split('?', 1)[0]!.split('/')
  const allowed = new Set<string>()
  for (const [pattern, methods] of routes) {
    if (fits(pattern.split('/'), path)) for (const method of methods) allowed.add(method)
  }
  return [...allowed].sort()
}

function fits (pattern: readonly string[], path: readonly string[]): boolean {
  for (const [i, part] of pattern.entries()) {
    if (part === '*') return path.length > i
    if (path[i] === undefined || (part.startsWith(':') ? path[i] === '' : part !== path[i])) return false
  }
  return pattern.length === path.length
}
