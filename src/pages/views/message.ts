import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { page, paths, type AssetUrls, type Viewer } from './page.ts'

export interface MessageView {
  readonly assets: AssetUrls
  readonly viewer?: Viewer
  readonly title: string
  readonly text: string
  /** Where to go from here; without it, back to the list. */
  readonly next?: { readonly href: string, readonly label: string } | null
}

/** A page that says one thing: something is missing, refused, or not known right now. */
export function messagePage ({ assets, viewer, title, text, next = { href: paths.list, label: 'Connected Apps' } }: MessageView): Html {
  return page({ title, assets, width: 'narrow', ...(viewer && { viewer }) }, html`
    <section class="card padded message">
      <span class="badge-icon warn">${icon('warn')}</span>
      <h1>${title}</h1>
      <p>${text}</p>
      ${next !== null && html`<p class="actions"><a class="button primary" href="${next.href}">${next.label}</a></p>`}
    </section>`)
}
