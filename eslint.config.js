import neostandard from 'neostandard'

export default [
  { ignores: ['**/dist/**', '**/node_modules/**', '**/.tap/**', 'coverage/**', '**/data/**', 'examples/edge-function/**'] },
  ...neostandard({ ts: true })
]
