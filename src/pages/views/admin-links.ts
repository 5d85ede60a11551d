import { html, type Html } from './html.ts'
import type { Site } from './page.ts'

export type AdminPage = 'keys' | 'people' | 'policy' | 'audit'

/** Links to the pages for admins of a workspace. */
export function adminLinks ({ paths }: Site, here: AdminPage): Html {
  const pages: ReadonlyArray<{ readonly id: AdminPage, readonly label: string, readonly href: string }> = [
    { id: 'keys', label: 'Keys', href: paths.list },
    { id: 'people', label: 'People', href: paths.people },
    { id: 'policy', label: 'Policy', href: paths.policy },
    { id: 'audit', label: 'Audit', href: paths.audit }
  ]
  return html`<nav class="sections" aria-label="For admins">
      ${pages.map(({ id, label, href }) => html`<a href="${href}"${id === here && html` aria-current="page"`}>${label}</a>`)}
    </nav>`
}
