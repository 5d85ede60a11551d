import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Paths, Site } from './views/page.ts'

export interface Asset {
  readonly name: string
  readonly type: string
  readonly body: Buffer
}

export interface PageAssets {
  readonly files: readonly Asset[]
  /** A hash of all files. It is part of their URLs, so browsers may cache them for ever. */
  readonly version: string
  readonly brandName: string
}

const types = {
  'settings.css': 'text/css; charset=utf-8',
  'settings.js': 'text/javascript; charset=utf-8',
  'icon.svg': 'image/svg+xml',
  'inter-latin.woff2': 'font/woff2'
} as const

/** Name, logo and colours of the pages. */
export interface Brand {
  readonly name: string
  readonly logoFile: string | undefined
  readonly cssFile: string | undefined
}

export const noBrand: Brand = { name: 'Navis Keys', logoFile: undefined, cssFile: undefined }

/** Reads the files that the pages need. Other files of the folder are not served. */
export function readPageAssets ({ name: brandName, logoFile, cssFile }: Brand = noBrand): PageAssets {
  const own = Object.entries(types).map(([name, type]) => ({ name, type, body: readFileSync(new URL(`../../assets/${name}`, import.meta.url)) }))
  const logo = logoFile === undefined ? [] : [{ name: logoFile.endsWith('.svg') ? 'logo.svg' : 'logo.png', type: logoFile.endsWith('.svg') ? 'image/svg+xml' : 'image/png', body: readBrandFile('BRAND_LOGO_FILE', logoFile) }]
  const css = cssFile === undefined ? [] : [{ name: 'brand.css', type: types['settings.css'], body: readBrandFile('BRAND_CSS_FILE', cssFile) }]
  const files = [...own, ...logo, ...css]
  const version = hash('sha256', Buffer.concat(files.map(({ body }) => body)), 'base64url').slice(0, 16)
  return { files, version, brandName }
}

function readBrandFile (setting: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new Error(`${setting} names a file that cannot be read.`, { cause: error })
  }
}

interface SiteOptions {
  readonly paths: Paths
  /** The path below which `assetRoutes` are registered. */
  readonly assetsAt: string
  readonly assets: PageAssets
  readonly hasSignIn?: boolean
  /** The link of the name and the logo. Default: the list of keys. */
  readonly homeUrl?: string | undefined
}

export function siteOf ({ paths, assetsAt, assets: { version, files, brandName }, hasSignIn = true, homeUrl = paths.list }: SiteOptions): Site {
  const logo = files.find(({ name }) => name.startsWith('logo.'))
  const css = files.find(({ name }) => name === 'brand.css')
  const urlOf = (name: string): string => `${assetsAt}/assets/${version}/${name}`
  return { paths, assets: { stylesheet: urlOf('settings.css'), script: urlOf('settings.js'), icon: urlOf(logo?.name ?? 'icon.svg') }, brand: { name: brandName, logo: logo && urlOf(logo.name), stylesheet: css && urlOf(css.name), href: homeUrl }, hasSignIn }
}
