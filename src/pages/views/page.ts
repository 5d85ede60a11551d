import { icon } from './icons.ts'
import { html, type Html } from './html.ts'

/** The person that a page is shown to. */
export interface Viewer {
  readonly name: string
  readonly workspaceId: string
  readonly ownerId: string | null
  /** Whether the person sees and may revoke all keys of the workspace. */
  readonly admin: boolean
  /** Part of every form; a POST without it is refused. */
  readonly formToken: string
}

export interface AssetUrls {
  readonly stylesheet: string
  readonly script: string
  readonly icon: string
}

/** The same for every page: paths, assets and brand. */
export interface Site {
  readonly assets: AssetUrls
  readonly paths: Paths
  readonly brand: {
    readonly name: string
    readonly logo: string | undefined
    /** The URL of a stylesheet with `--brand-*` colours. */
    readonly stylesheet: string | undefined
    /** The link of the name and the logo. */
    readonly href: string
  }
  /** Whether people sign in and out on these pages. `false`: the host application signs them in. */
  readonly hasSignIn: boolean
}

export interface PageOptions {
  readonly title: string
  readonly site: Site
  readonly viewer?: Viewer
  /** `narrow` for forms and messages, `wide` for lists. */
  readonly width?: 'narrow' | 'wide'
  /** For an invalid form: its URL. A reload and Back then open this URL instead of sending the form again. */
  readonly again?: string | false
}

export type Paths = ReturnType<typeof pathsAt>

/** The paths of the pages: about keys below `apps`, sign-in below `settings`. */
export function pathsAt ({ apps, settings }: { readonly apps: string, readonly settings: string }) {
  return {
    settings,
    list: apps,
    create: `${apps}/new`,
    people: `${apps}/people`,
    revokeAll: `${apps}/people/revoke`,
    policy: `${apps}/policy`,
    audit: `${apps}/audit`,
    auditCsv: `${apps}/audit.csv`,
    key: (keyId: string) => `${apps}/${keyId}`,
    use: (keyId: string) => `${apps}/${keyId}/use`,
    rotate: (keyId: string) => `${apps}/${keyId}/rotate`,
    revoke: (keyId: string) => `${apps}/${keyId}/revoke`,
    signIn: `${settings}/sign-in`,
    signInStart: `${settings}/sign-in/start`,
    signInCallback: `${settings}/sign-in/callback`,
    signOut: `${settings}/sign-out`,
    signedOut: `${settings}/signed-out`
  }
}

/** The paths for registering routes, without the prefix, which Fastify adds. */
export const routes = pathsAt({ apps: '', settings: '' })

export function page (options: PageOptions, content: Html): Html {
  return html`${pageStart(options)}${content}${pageEnd()}`
}

/** The part before the content. A streamed page starts with it and ends with `pageEnd`. */
export function pageStart ({ title, site, viewer, width = 'wide', again = false }: PageOptions): Html {
  return html`<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <title>${title} · ${site.brand.name}</title>
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <link rel="icon" href="${site.assets.icon}">
  ${site.brand.stylesheet !== undefined && html`<link rel="stylesheet" href="${site.brand.stylesheet}">`}
  <link rel="stylesheet" href="${site.assets.stylesheet}">
  <script src="${site.assets.script}" defer></script>
</head>
<body>
  <a class="skip" href="#content">Skip to content</a>
  <header class="bar">
    <a class="brand" href="${site.brand.href}">${site.brand.logo === undefined ? icon('mark') : html`<img class="logo" src="${site.brand.logo}" alt="">`}<span>${site.brand.name}</span></a>
    ${viewer && account(viewer, site)}
  </header>
  <main id="content" class="${width}" tabindex="-1"${again !== false && html` data-again="${again}"`}>
`
}

export function pageEnd (): Html {
  return html`
  </main>
</body>
</html>
`
}

/** The hidden field that every form carries. */
export function formTokenField (viewer: Viewer): Html {
  return html`<input type="hidden" name="form_token" value="${viewer.formToken}">`
}

function account (viewer: Viewer, { paths, hasSignIn }: Site): Html {
  const who = html`<span class="who"><span class="sr-only">Signed in as </span><span class="who-name">${viewer.name}</span><span class="who-workspace">${viewer.workspaceId}</span></span>`
  if (!hasSignIn) return html`<div class="account">${who}</div>`
  return html`<form class="account" method="post" action="${paths.signOut}">
      ${formTokenField(viewer)}
      ${who}
      <button class="button quiet small">Sign out</button>
    </form>`
}
