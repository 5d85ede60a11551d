/** The answer, or a rejection that says in words what had not come after `ms`: no wait of a run is without an end. */
export async function inTime<T> (what: string, ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => { reject(new Error(`Waited ${(ms / 1000).toFixed(0)} s, and no longer, for ${what}.`)) }, ms)
  })
  return await Promise.race([answer, late]).finally(() => { clearTimeout(timer) })
}
