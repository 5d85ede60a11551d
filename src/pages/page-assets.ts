import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { pathsBelow, type Site } from './views/page.ts'

export interface Asset {
  readonly name: string
  readonly type: string
  readonly body: Buffer
}

export interface PageAssets {
  readonly files: readonly Asset[]
  /** Changes whenever a file does: it is part of their URLs, and browsers may keep them for ever. */
  readonly version: string
}

const types = {
  'settings.css': 'text/css; charset=utf-8',
  'settings.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
  'inter-latin.woff2': 'font/woff2'
} as const

/** The files that the pages need, read once; nothing else of the folder can be asked for. */
export function readPageAssets (): PageAssets {
  const files = Object.entries(types).map(([name, type]) => ({ name, type, body: readFileSync(new URL(`../../assets/${name}`, import.meta.url)) }))
  const version = hash('sha256', Buffer.concat(files.map(({ body }) => body)), 'base64url').slice(0, 16)
  return { files, version }
}

/** The pages below a prefix. */
export function siteBelow (prefix: string, { version }: PageAssets): Site {
  const paths = pathsBelow(prefix)
  const urlOf = (name: keyof typeof types): string => `${paths.settings}/assets/${version}/${name}`
  return { paths, assets: { stylesheet: urlOf('settings.css'), script: urlOf('settings.js'), icon: urlOf('icon.svg') } }
}
