import { html, type Html } from './html.ts'

/** Drawn for these pages on a grid of 24. They are decoration: screen readers skip them. */
const drawings = {
  mark: html`<path class="mark-hull" d="M4 14.5h16l-2.2 4.2a2.5 2.5 0 0 1-2.2 1.3H8.4a2.5 2.5 0 0 1-2.2-1.3z"/><path class="mark-sail" d="M11 3.5v9H4.8zM13 6.5l5.2 6H13z"/>`,
  key: html`<circle cx="8" cy="15.5" r="4"/><path d="m11 12.5 8.5-8.5M16 7.5l3 3M13.2 10.3l2 2"/>`,
  plus: html`<path d="M12 5v14M5 12h14"/>`,
  copy: html`<rect x="9" y="9" width="11" height="11" rx="2.5"/><path d="M5.5 15H5a1.5 1.5 0 0 1-1.5-1.5V5A1.5 1.5 0 0 1 5 3.5h8.5A1.5 1.5 0 0 1 15 5v.5"/>`,
  check: html`<path d="m5 12.5 4.5 4.5L19 7.5"/>`,
  warn: html`<path d="M12 9v4.5M12 17v.01M10.7 4.3 3 17.5A1.5 1.5 0 0 0 4.3 19.8h15.4a1.5 1.5 0 0 0 1.3-2.3L13.3 4.3a1.5 1.5 0 0 0-2.6 0z"/>`,
  clock: html`<circle cx="12" cy="12" r="8.5"/><path d="M12 7.5V12l3 2"/>`,
  back: html`<path d="M14.5 6 8.5 12l6 6"/>`,
  forward: html`<path d="m9.5 6 6 6-6 6"/>`,
  search: html`<circle cx="11" cy="11" r="6.5"/><path d="m16 16 4.5 4.5"/>`,
  eye: html`<path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z"/><circle cx="12" cy="12" r="3"/>`,
  pen: html`<path d="m4 20 1-4.5L16 4.5a2 2 0 0 1 3 0l.5.5a2 2 0 0 1 0 3L8.5 19z"/><path d="m14 6.5 3.5 3.5"/>`
} as const

export function icon (name: keyof typeof drawings): Html {
  return html`<svg class="icon icon-${name}" viewBox="0 0 24 24" aria-hidden="true" focusable="false">${drawings[name]}</svg>`
}
