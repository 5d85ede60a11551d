/** Settles as `promise` does, or rejects after `timeoutMs` milliseconds and calls `onTimeout`. */
export function inTime<T> (answer: Promise<T>, timeoutMs: number, onTimeout: () => void = () => {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      onTimeout()
      reject(new Error(`No answer within ${timeoutMs} ms.`))
    }, timeoutMs)
    answer.finally(() => clearTimeout(timer)).then(resolve, reject)
  })
}
