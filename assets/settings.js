// The pages work without this file. It adds copy buttons and a dialog, updates times, and removes tokens from pages that are left.

const minuteMs = 60_000
const units = [
  ['minute', minuteMs, 60 * minuteMs],
  ['hour', 60 * minuteMs, 1440 * minuteMs],
  ['day', 1440 * minuteMs, 61 * 1440 * minuteMs],
  ['month', 30.44 * 1440 * minuteMs, 730 * 1440 * minuteMs],
  ['year', 365.25 * 1440 * minuteMs, Infinity]
]
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' })
const exact = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit', timeZoneName: 'short' })

function relativeTime (at, now) {
  const distance = at - now
  if (Math.abs(distance) < minuteMs) return distance > 0 ? 'in a moment' : 'just now'
  const whole = (ms) => distance > 0 ? Math.round(distance / ms) : Math.trunc(distance / ms)
  const [unit, ms] = units.find(([, ms, below]) => Math.abs(whole(ms)) * ms < below)
  return relative.format(whole(ms), unit)
}

// Allow a line break only between date and time of day.
function breakableOnce (text) {
  const end = text.lastIndexOf(', ') + 1
  return end === 0 ? text : `${text.slice(0, end).replaceAll(' ', '\u00a0')} ${text.slice(end + 1).replaceAll(' ', '\u00a0')}`
}

function refreshTimes () {
  for (const element of document.querySelectorAll('time[datetime]')) {
    const at = Date.parse(element.dateTime)
    element.querySelector('[data-relative]').textContent = relativeTime(at, Date.now())
    element.querySelector('[data-exact]').textContent = breakableOnce(exact.format(at))
  }
}

function offerCopy (button) {
  const label = button.querySelector('[data-label]')
  const before = label.textContent
  button.hidden = false
  button.addEventListener('click', async () => {
    const source = document.getElementById(button.dataset.copy)
    const copied = await navigator.clipboard.writeText(source.textContent).then(() => true, () => false)
    if (!copied) {
      window.getSelection().selectAllChildren(source)
      label.textContent = 'Selected: press Ctrl+C'
      return
    }
    label.textContent = 'Copied'
    button.dataset.copied = ''
    announce('Copied')
    setTimeout(() => {
      label.textContent = before
      delete button.dataset.copied
    }, 2000)
  })
}

function announce (text) {
  const region = document.querySelector('[data-announce]') ?? document.body.appendChild(Object.assign(document.createElement('p'), { className: 'sr-only' }))
  region.dataset.announce = ''
  region.setAttribute('role', 'status')
  region.textContent = text
}

function askInPlace (dialog) {
  const form = dialog.querySelector('form')
  for (const link of document.querySelectorAll('[data-revoke]')) {
    link.addEventListener('click', (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return
      event.preventDefault()
      form.action = link.href
      dialog.querySelector('[data-key-name]').textContent = link.dataset.name
      dialog.querySelector('[data-key-hint]').textContent = link.dataset.hint
      dialog.querySelector('[data-key-last-used]').replaceChildren(...link.closest('tr').querySelector('[data-last-used]').cloneNode(true).childNodes)
      dialog.showModal()
    })
  }
  dialog.querySelector('[data-close]').addEventListener('click', () => dialog.close())
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close()
  })
}

function showBusy (event) {
  const { target: form, submitter: button } = event
  if (Date.now() - Number(form.dataset.sentAt ?? 0) < 5000) return event.preventDefault()
  form.dataset.sentAt = Date.now()
  if (!button?.dataset.busy) return
  button.setAttribute('aria-disabled', 'true')
  button.textContent = button.dataset.busy
}

function forgetToken (once) {
  // A reload then opens the list, and does not send the form again.
  window.history.replaceState(null, '', once.dataset.once)
  // Browsers keep whole pages for Back and Forward, even with `no-store`: empty this one when it is left.
  window.addEventListener('pagehide', () => once.replaceChildren())
}

function awaitFirstUse (panel) {
  const askEveryMs = 2000
  const until = Date.now() + 15 * minuteMs
  const says = panel.querySelector('[data-says]')
  const look = panel.querySelector('[data-look]')
  look.hidden = true
  const ask = async () => {
    if (!panel.isConnected) return
    if (Date.now() > until) {
      look.hidden = false
      return
    }
    const answer = document.hidden ? undefined : await fetch(panel.dataset.firstUse, { redirect: 'error' }).then((response) => response.ok ? response.json() : undefined).catch(() => undefined)
    if (!answer?.says) return setTimeout(ask, askEveryMs)
    says.textContent = answer.says
    panel.classList.add('used')
  }
  setTimeout(ask, askEveryMs)
}

// Back and reload then open the form, and do not send it again.
function standForForm (content) {
  window.history.replaceState(null, '', content.dataset.again)
}

function followOutcome () {
  const outcome = document.querySelector('[data-done]')
  if (outcome) window.location.replace(outcome.dataset.done)
}

refreshTimes()
setInterval(refreshTimes, minuteMs / 2)
for (const button of document.querySelectorAll('[data-copy]')) offerCopy(button)
const dialog = document.getElementById('revoke-dialog')
if (dialog) askInPlace(dialog)
const once = document.querySelector('[data-once]')
if (once) forgetToken(once)
const again = document.querySelector('[data-again]')
if (again) standForForm(again)
for (const panel of document.querySelectorAll('[data-first-use]')) awaitFirstUse(panel)
window.addEventListener('submit', showBusy)
// A page that the browser has kept may be out of date, such as a form that was already sent.
window.addEventListener('pageshow', (event) => {
  if (event.persisted) window.location.reload()
})
followOutcome()
