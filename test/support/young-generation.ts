/**
 * Arguments for Node. Most processes of the tests end after a second or two: with room for what they allocate until then, they are spared the many small
 * collections with which V8 begins, 5 % of the processor time of a group of test files and 12 % of a service's start (decision 0352).
 */
export const youngGeneration: readonly string[] = ['--min-semi-space-size=64', '--max-semi-space-size=64']
