import { parseArgs } from 'node:util'
import { fuzzReader } from './fuzz-reader.ts'

/* npm run fuzz -- --inputs 1000000 --seed 1. Ends with an error at the first input that is read in two ways. */
const { values } = parseArgs({ options: { inputs: { type: 'string', default: '1000000' }, seed: { type: 'string', default: '1' } } })
const { inputs, alike, refused, stricter } = fuzzReader(Number(values.inputs), Number(values.seed))
console.log(`${inputs} inputs: ${alike} read alike, ${refused} refused by both, ${stricter} refused by the gateway alone, 0 read in two ways`)
