import { executionAsyncResource } from 'node:async_hooks'

const alive: object[] = []

/**
 * Keeps one of the objects alive that `process.nextTick` makes, for as long as this process runs. V8 forgets the shape of objects of which there are none, and then
 * takes longer for each tick, for good: decision 0346. Returns the list in which it will be after the next tick.
 */
export function keepTickShape (): readonly object[] {
  if (alive.length === 0) process.nextTick(() => { alive.push(executionAsyncResource()) })
  return alive
}
