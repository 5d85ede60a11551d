import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AssetUrls } from './views/page.ts'

export interface Asset {
  readonly name: string
  readonly type: string
  readonly body: Buffer
}

export interface PageAssets {
  readonly files: readonly Asset[]
  /** Changes whenever a file does: it is part of their URLs, and browsers may keep them for ever. */
  readonly version: string
  readonly urls: AssetUrls
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
  const urlOf = (name: keyof typeof types): string => `/settings/assets/${version}/${name}`
  return { files, version, urls: { stylesheet: urlOf('settings.css'), script: urlOf('settings.js'), icon: urlOf('icon.svg') } }
}
