import { html, type Html } from './html.ts'
import { icon } from './icons.ts'
import { page, type Site, type Viewer } from './page.ts'

export interface MessageView {
  readonly site: Site
  readonly viewer?: Viewer
  readonly title: string
  readonly text: string
  /** The link of the button. Default: the list. Null: no button. */
  readonly next?: { readonly href: string, readonly label: string } | null
}

/** A page with one message, such as an error. */
export function messagePage ({ site, viewer, title, text, next = { href: site.paths.list, label: 'Connected Apps' } }: MessageView): Html {
  return page({ title, site, width: 'narrow', ...(viewer && { viewer }) }, html`
    <section class="card padded message">
      <span class="badge-icon warn">${icon('warn')}</span>
      <h1>${title}</h1>
      <p>${text}</p>
      ${next !== null && html`<p class="actions"><a class="button primary" href="${next.href}">${next.label}</a></p>`}
    </section>`)
}
