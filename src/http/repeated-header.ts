/** Whether a request has a header, named in lower case, more than once. Node keeps the first and drops the second, but a proxy in front may have used the second. */
export function isRepeated (name: string, rawHeaders: readonly string[]): boolean {
  let times = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const header = rawHeaders[i]!
    if (header.length === name.length && header.toLowerCase() === name) times++
  }
  return times > 1
}
