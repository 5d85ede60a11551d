import { readFileSync } from 'node:fs'

const page = readFileSync(new URL('../../docs/proxies.md', import.meta.url), 'utf8')

interface Ports {
  readonly keys: number
  readonly upstream: number
  readonly listen: number
}

/** The one configuration that docs/proxies.md shows in this language below this heading. */
export function documented (heading: string, language: string): string {
  const section = page.split(/^## /m).find((text) => text.startsWith(`${heading}\n`))
  const blocks = [...(section ?? '').matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))]
  if (blocks.length !== 1 || blocks[0]?.[1] === undefined) throw new Error(`docs/proxies.md should show one ${language} block under "${heading}".`)
  return blocks[0][1]
}

/** The same with the ports of this run: nothing else is changed. */
export function withPorts (config: string, { keys, upstream, listen }: Ports): string {
  for (const address of ['127.0.0.1:8080', '127.0.0.1:3000', '8000']) {
    if (!config.includes(address)) throw new Error(`The configuration does not name ${address}.`)
  }
  return config
    .replaceAll('127.0.0.1:8080', `127.0.0.1:${keys}`)
    .replaceAll('127.0.0.1:3000', `127.0.0.1:${upstream}`)
    .replace(/\b8000\b/, String(listen))
}
